package reconcile_test

import (
	"bufio"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"davit/compose"
	"davit/reconcile"
)

var update = flag.Bool("update", false, "rewrite the golden plans")

// now is the moment at which every golden plan is made.
var now = time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)

// TestGoldenPlans plans every case in testdata/plans and compares the printed
// plan. A case is a txtar archive: compose.yaml, and, where they matter, images,
// containers, networks, previous and desired, in the line formats of the parsers
// below.
func TestGoldenPlans(t *testing.T) {
	files, err := filepath.Glob("../testdata/plans/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden plans found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := parseCase(t, archive)
			got := c.print()
			if *update {
				setFile(archive, "plan", got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := section(archive, "plan"); got != want {
				t.Errorf("plan differs; run with -update to accept\n got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// planCase is one golden case.
type planCase struct {
	desired  reconcile.Desired
	observed reconcile.Observed
	// restarted is the service of which an operator asked for a restart, "" for none.
	restarted string
}

func (c planCase) print() string {
	p, err := reconcile.NewPlan(c.desired, c.observed, now)
	if err != nil {
		text := "error: " + err.Error()
		if hint := reconcile.Hint(err); hint != "" {
			text += "\nhint: " + hint
		}
		return text + "\n"
	}
	text := p.String() + "\n"
	if !p.Next.IsZero() {
		text += "again in " + p.Next.Sub(now).String() + "\n"
	}
	return text
}

func parseCase(t *testing.T, a *txtar.Archive) planCase {
	t.Helper()
	project := loadTree(t, tree(a, ""))
	c := planCase{desired: reconcile.Desired{
		Project: project, Instance: "here", Revision: "main@sha1:9d10e44",
		Images: map[string]reconcile.Image{}, Failed: map[string]bool{}, Completed: map[string]bool{}, Unproven: map[int64]bool{}, Served: map[string]bool{},
	}, observed: reconcile.Observed{At: now}}
	if before := tree(a, "before/"); len(before) > 0 {
		c.desired.PreviousProject = loadTree(t, before)
	}
	for _, s := range project.Services {
		c.desired.Images[s.Name] = imageFact(s.Config.Image, nil)
	}
	for _, words := range lines(section(a, "images")) {
		c.desired.Images[words[0]] = imageFact(words[1], words[2:])
	}
	for _, words := range lines(section(a, "previous")) {
		c.previous(t, words)
	}
	for _, words := range lines(section(a, "containers")) {
		c.observed.Containers = append(c.observed.Containers, c.container(t, words))
	}
	for _, words := range lines(section(a, "networks")) {
		c.observed.Networks = append(c.observed.Networks, c.network(t, words))
	}
	for _, words := range lines(section(a, "volumes")) {
		c.observed.Volumes = append(c.observed.Volumes,
			reconcile.Volume{Name: project.Name + "_" + words[0], Stack: project.Name, Key: words[0], ConfigHash: c.definedBy(words[1:]).VolumeHash(words[0])})
	}
	for _, words := range lines(section(a, "desired")) {
		c.flag(t, words)
	}
	for _, words := range lines(section(a, "edge")) {
		c.edge(t, words)
	}
	return c
}

// edge understands: idle (there is one, which serves nothing), apart WHY, away, absent (there are load
// balancers only), balancer KIND NAME [away | BACKEND...], route SERVICE [PORT:TARGET],
// route STACK.SERVICE PORT:TARGET, member SERVICE/NUMBER [draining=AGO], weights SERVICE RELEASE=WEIGHT...
func (c *planCase) edge(t *testing.T, words []string) {
	if c.observed.Edge == nil {
		c.observed.Edge = &reconcile.EdgeTable{Generation: 1}
	}
	e := c.observed.Edge
	switch words[0] {
	case "idle":
	case "apart":
		c.observed.Apart = strings.Join(words[1:], " ")
	case "away":
		e.Away = reconcile.ErrEdgeUnavailable.Error()
	case "absent":
		e.Absent = true
	case "balancer":
		b := reconcile.Balancer{Kind: words[1], Name: words[2]}
		switch {
		case slices.Contains(words, "away"):
			b.Away = b.String() + ": dial unix /run/haproxy/admin.sock: no such file or directory"
		case len(words) > 3:
			b.Backends = words[3:]
		}
		e.Balancers = append(e.Balancers, b)
	case "route":
		stack, service, other := strings.Cut(words[1], ".")
		if !other {
			stack, service = c.desired.Project.Name, words[1]
		}
		s, _ := c.desired.Project.Service(service)
		if len(words) > 2 {
			s.Ports = []compose.PublishedPort{ports(t, words[2])}
		}
		e.Routes = append(e.Routes, reconcile.Route{Stack: stack, Service: service, Ports: s.Ports})
	case "member":
		i := slices.IndexFunc(c.observed.Containers, func(x reconcile.Container) bool { return x.ID == words[1] })
		service, _, _ := strings.Cut(words[1], "/")
		r := slices.IndexFunc(e.Routes, func(x reconcile.Route) bool { return x.Service == service })
		if i < 0 || r < 0 {
			t.Fatalf("no container or no route for %q", words)
		}
		m := reconcile.Member{Container: words[1], Started: c.observed.Containers[i].Started, Name: words[1], Release: c.observed.Containers[i].Release, Address: netip.MustParseAddr("10.0.0.2")}
		if len(words) > 2 {
			ago, err := time.ParseDuration(strings.TrimPrefix(words[2], "draining="))
			if err != nil {
				t.Fatal(err)
			}
			m.Draining, m.Limits = now.Add(-ago), compose.DefaultDrain()
		}
		e.Routes[r].Members = append(e.Routes[r].Members, m)
	case "weights":
		r := slices.IndexFunc(e.Routes, func(x reconcile.Route) bool { return x.Service == words[1] })
		e.Routes[r].Weights = map[int64]int{}
		for _, w := range words[2:] {
			var release int64
			var weight int
			if n, err := fmt.Sscanf(w, "%d=%d", &release, &weight); n != 2 {
				t.Fatal(err)
			}
			e.Routes[r].Weights[release] = weight
		}
	default:
		t.Fatalf("unknown word %q", words)
	}
}

// ports reads 80:8080.
func ports(t *testing.T, text string) compose.PublishedPort {
	t.Helper()
	var host, target uint16
	if n, err := fmt.Sscanf(text, "%d:%d", &host, &target); n != 2 {
		t.Fatal(err)
	}
	return compose.PublishedPort{Network: "tcp", Host: host, Target: target}
}

// network understands: KEY, and then, in any order: before (made from the definition
// of the project before), instance=NAME.
func (c *planCase) network(t *testing.T, words []string) reconcile.Network {
	project := c.desired.Project
	n := reconcile.Network{
		ID: "net-" + words[0], Name: project.Name + "_" + words[0], Stack: project.Name, Key: words[0], Instance: "here",
		ConfigHash: c.definedBy(words[1:]).NetworkHash(words[0]),
	}
	for _, w := range words[1:] {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "before":
		case "instance":
			n.Instance = value
		default:
			t.Fatalf("unknown trait %q", w)
		}
	}
	return n
}

// definedBy is the project that a network or volume was made by.
func (c *planCase) definedBy(words []string) *compose.Project {
	if slices.Contains(words, "before") {
		return c.desired.PreviousProject
	}
	return c.desired.Project
}

// flag understands: settled, returning, show-values, completed SERVICE, failed ID [kept],
// unproven SEQ, served ID, left ID AGO, handover never|now, restarts SERVICE, stopped ID, version FROM TO,
// release SEQ, canary SERVICE WEIGHT AGO [ABORTED], answering AGO (the engine), healed SERVICE AGO... [given-up],
// healing BEGAN ENDED (an attempt).
func (c *planCase) flag(t *testing.T, words []string) {
	switch words[0] {
	case "settled":
		c.desired.Settled = true
	case "show-values":
		c.desired.Show = func(v string) string { return v }
	case "returning":
		c.desired.Returning = true
	case "completed":
		c.desired.Completed[words[1]] = true
	case "unproven":
		seq, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c.desired.Unproven[seq] = true
	case "served":
		c.desired.Served[words[1]] = true
	case "left": // CONTAINER AGO
		ago, err := time.ParseDuration(words[2])
		if err != nil {
			t.Fatal(err)
		}
		if c.desired.Left == nil {
			c.desired.Left = map[string]time.Time{}
		}
		c.desired.Left[words[1]] = now.Add(-ago)
	case "failed":
		c.desired.Failed[words[1]] = len(words) > 2
	case "release":
		if _, err := fmt.Sscan(words[1], &c.desired.Release); err != nil {
			t.Fatal(err)
		}
	case "canary":
		c.canary(t, words[1:])
	case "answering":
		ago, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatal(err)
		}
		c.observed.Answering = now.Add(-ago)
	case "healing":
		began, err := time.ParseDuration(words[1])
		ended, wrong := time.ParseDuration(words[2])
		if err != nil || wrong != nil {
			t.Fatal(err, wrong)
		}
		c.desired.History = append(c.desired.History, reconcile.Release{Seq: 2, Kind: reconcile.KindDriftFix, Trigger: reconcile.TriggerHealing,
			Outcome: reconcile.Failed, Started: now.Add(-began), Finished: now.Add(-ended)})
	case "healed":
		c.healed(t, words[1:])
	case "attempt": // SEQ [SERVICE IMAGE]
		seq, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c.desired.Attempts = map[int64]bool{seq: true}
		if len(words) == 4 {
			c.desired.History = append(c.desired.History, reconcile.Release{Seq: seq, Outcome: reconcile.Interrupted,
				Services: []reconcile.ServiceRecord{{Name: words[2], Image: reconcile.Image{Ref: words[3], ID: "id:" + words[3]}}}})
		}
	case "began": // CONTAINER [ended | failed WHY...]
		run := reconcile.HookRun{Container: words[1], Succeeded: slices.Contains(words, "ended")}
		if len(words) > 3 {
			run.Failure = strings.Join(words[3:], " ")
		}
		c.desired.HookRuns = append(c.desired.HookRuns, run)
	case "restarts":
		c.restarted = words[1]
		c.desired.RestartAll(words[1], now, "restarted by ann")
	case "stopped":
		service, _, _ := strings.Cut(words[1], "/")
		c.desired.Stopped = append(c.desired.Stopped, reconcile.Stop{Service: service, Container: words[1], Since: now})
	case "handover":
		c.desired.Handover = map[string]reconcile.Handover{"never": reconcile.HandoverNever, "now": reconcile.HandoverNow}[words[1]]
	case "version":
		c.desired.From, c.desired.To = words[1], words[2]
	default:
		t.Fatalf("unknown flag %q", words)
	}
}

// healed is what is on record of a service that failed by itself.
func (c *planCase) healed(t *testing.T, words []string) {
	h := reconcile.HealingState{Content: c.desired.Project.Hash}
	for _, word := range words[1:] {
		if word == "given-up" {
			h.GivenUp = h.Attempts[len(h.Attempts)-1].Add(time.Second)
			continue
		}
		ago, err := time.ParseDuration(word)
		if err != nil {
			t.Fatal(err)
		}
		h.Attempts = append(h.Attempts, now.Add(-ago))
	}
	c.desired.Healing = map[string]reconcile.HealingState{words[0]: h}
}

// canary is what is on record of a service's canary.
func (c *planCase) canary(t *testing.T, words []string) {
	st := reconcile.CanaryState{Content: c.desired.Project.Hash}
	ago, err := time.ParseDuration(words[2])
	if _, wrong := fmt.Sscan(words[1], &st.Weight); wrong != nil || err != nil {
		t.Fatal(wrong, err)
	}
	if st.Since = now.Add(-ago); len(words) > 3 {
		st.Aborted = words[3]
	}
	c.desired.Canaries = map[string]reconcile.CanaryState{words[0]: st}
}

// previous understands: SERVICE IMAGE [changed].
func (c *planCase) previous(t *testing.T, words []string) {
	if c.desired.Previous == nil {
		c.desired.Previous = &reconcile.Release{Seq: 1, Outcome: reconcile.Succeeded}
	}
	rec := reconcile.ServiceRecord{Name: words[0], Image: imageFact(words[1], nil)}
	if s, ok := c.desired.Project.Service(words[0]); ok && len(words) == 2 {
		rec.Spec = s.Hash
	}
	if before := c.desired.PreviousProject; before != nil {
		if s, ok := before.Service(words[0]); ok {
			rec.Spec = s.Hash
		}
	}
	c.desired.Previous.Services = append(c.desired.Previous.Services, rec)
}

// imageFact is an image whose ID is a function of its reference. Words: local,
// healthcheck, volume=PATH, digest=SHA, unknown (no ID yet), content=X (another
// content behind the same reference).
func imageFact(ref string, words []string) reconcile.Image {
	i := reconcile.Image{Ref: ref, ID: "id:" + ref}
	if len(words) == 0 {
		i.Local = true
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "local":
			i.Local = true
		case "healthcheck":
			i.Healthcheck = true
		case "volume":
			i.Volumes = append(i.Volumes, value)
		case "digest":
			i.Digest = "sha256:" + value
		case "unknown":
			i.ID = ""
		case "content":
			i.ID += "+" + value
		}
	}
	return i
}

// container understands: SERVICE/NUMBER STATE IMAGE and then, in any order: old
// (made from another spec), unplugged (in no network), before (from that of the project before), alias, restart=POLICY, health=WORD, started=AGO,
// finished=AGO, created=AGO, borrows=ID, code=N, release=N, name=NAME, instance=NAME, volume=PATH:NAME,
// ran (in service when the current release ended), doomed, unready, stops-by-hand, unwell=AGO, crashes=N, oom,
// bind=PATH:SOURCE[:ro], limits=MEBIBYTES:CPUS, network=KEY, edge=PORT/NETWORK (left to the edge), published=PORT (by Docker), stack=NAME.
func (c *planCase) container(t *testing.T, words []string) reconcile.Container {
	service, number, _ := strings.Cut(words[0], "/")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	project := c.desired.Project
	out := reconcile.Container{
		ID: words[0], Name: fmt.Sprintf("%s-%s-%d", project.Name, service, n), Stack: project.Name, Service: service, Number: n,
		Instance: "here", Release: 1, State: state(t, words[1]), ImageID: "id:" + words[2], ImageRef: words[2], Restart: "no",
		Created: now.Add(-time.Hour), Started: now.Add(-time.Hour), Endpoints: map[string]reconcile.Endpoint{}, Volumes: map[string]string{},
	}
	if s, ok := project.Service(service); ok {
		out.Spec = s.Hash
		for key := range s.Config.Networks {
			out.Endpoints[project.Name+"_"+key] = reconcile.Endpoint{}
		}
	}
	if out.State == reconcile.Exited {
		out.Finished = now.Add(-10 * time.Minute)
	}
	for _, w := range words[3:] {
		c.trait(t, &out, w)
	}
	return out
}

func (c *planCase) trait(t *testing.T, out *reconcile.Container, word string) {
	key, value, _ := strings.Cut(word, "=")
	ago := func() time.Time {
		d, err := time.ParseDuration(value)
		if err != nil {
			t.Fatal(err)
		}
		return now.Add(-d)
	}
	number := func() int {
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	switch key {
	case "old":
		out.Spec = "v1:other" + value
	case "before":
		s, ok := c.desired.PreviousProject.Service(out.Service)
		if !ok {
			t.Fatalf("service %s was not there before", out.Service)
		}
		out.Spec = s.Hash
	case "alias":
		for name := range out.Endpoints {
			out.Endpoints[name] = reconcile.Endpoint{Aliases: []string{out.Service}}
		}
	case "restart":
		out.Restart = value
	case "health":
		out.Health = map[string]reconcile.Health{"starting": reconcile.HealthStarting, "healthy": reconcile.Healthy, "unhealthy": reconcile.Unhealthy}[value]
	case "started":
		out.Started = ago()
	case "finished":
		out.Finished = ago()
	case "code":
		out.ExitCode = number()
	case "ran": // when the current release ended
		for i := range c.desired.Previous.Services {
			if rec := &c.desired.Previous.Services[i]; rec.Name == out.Service {
				rec.Containers = append(rec.Containers, out.ID)
			}
		}
	case "doomed":
		out.Probed.Doomed = "liveness failed 3 times: connection refused"
	case "stops-by-hand":
		out.StopsByHand = true
	case "unready":
		out.Probed.Unready = "readiness failed 3 times: connection refused"
	case "unwell":
		out.Unwell = ago()
	case "crashes":
		out.Crashes = number()
	case "oom":
		out.OOMKilled = true
	case "release":
		out.Release = int64(number())
	case "name":
		out.Name = value
	case "instance":
		out.Instance = value
	case "volume":
		path, name, _ := strings.Cut(value, ":")
		out.Volumes[path] = name
		out.Mounts = append(out.Mounts, reconcile.Mount{Path: path, Kind: reconcile.MountVolume, Source: name, Writable: true})
	case "bind":
		path, rest, _ := strings.Cut(value, ":")
		source, mode, _ := strings.Cut(rest, ":")
		out.Mounts = append(out.Mounts, reconcile.Mount{Path: path, Kind: reconcile.MountBind, Source: source, Writable: mode != "ro"})
	case "hook": // PHASE/PLACE
		c.hook(t, out, value)
	case "limits": // MEBIBYTES:CPUS
		var mebibytes, cpus float64
		if n, err := fmt.Sscanf(value, "%f:%f", &mebibytes, &cpus); n != 2 {
			t.Fatal(err)
		}
		out.Limits = reconcile.Limits{Memory: int64(mebibytes) << 20, NanoCPUs: int64(cpus * 1e9)}
	case "unplugged":
		out.Endpoints = map[string]reconcile.Endpoint{}
	case "borrows":
		out.Borrows = append(out.Borrows, value)
	case "created":
		out.Created = ago()
	case "edge":
		out.Edge = append(out.Edge, value)
	case "published":
		out.Published = append(out.Published, reconcile.HostPort{Network: "tcp", Port: uint16(number())})
	case "stack":
		out.Stack, out.Name = value, value+"-"+out.Service+"-1"
	case "network":
		out.Endpoints[out.Stack+"_"+value] = reconcile.Endpoint{}
	default:
		t.Fatalf("unknown trait %q", word)
	}
}

// hook makes out the container of a hook that its service declares.
func (c *planCase) hook(t *testing.T, out *reconcile.Container, value string) {
	phase, place, _ := strings.Cut(value, "/")
	n, err := strconv.Atoi(place)
	s, ok := c.desired.Project.Service(out.Service)
	if err != nil || !ok {
		t.Fatalf("no hook %q of %s", value, out.Service)
	}
	list, of := s.Settings.Hooks.PreDeploy, reconcile.HookPreDeploy
	if phase == "post_deploy" {
		list, of = s.Settings.Hooks.PostDeploy, reconcile.HookPostDeploy
	}
	h := list[n-1]
	hook := reconcile.Hook{Phase: of, Index: n - 1, Timeout: h.Timeout, Irreversible: h.Irreversible}
	hook.Command = h.Run
	if out.Release == 1 {
		out.Release = 2
	}
	out.OneOff, out.Hook = true, hook.Mark()
	out.Name = reconcile.HookContainer(out.Stack, out.Service, hook, out.Release)
	out.ID = out.Name
}

func state(t *testing.T, word string) reconcile.ContainerState {
	for s := reconcile.Created; s <= reconcile.Dead; s++ {
		if s.String() == word {
			return s
		}
	}
	t.Fatalf("unknown state %q", word)
	return 0
}

// loadProject loads a compose file the way that the agent does.
func loadProject(t testing.TB, text string) *compose.Project {
	t.Helper()
	return loadTree(t, map[string]string{"compose.yaml": text})
}

// tree are the files of a revision in a case: compose.yaml, and whatever is below
// tree/, both behind prefix.
func tree(a *txtar.Archive, prefix string) map[string]string {
	files := map[string]string{}
	for _, f := range a.Files {
		name, ours := strings.CutPrefix(f.Name, prefix)
		if rest, ok := strings.CutPrefix(name, "tree/"); ours && ok {
			files[rest] = string(f.Data)
		}
		if ours && name == "compose.yaml" {
			files[name] = string(f.Data)
		}
	}
	return files
}

// loadTree loads the only stack of a revision.
func loadTree(t testing.TB, files map[string]string) *compose.Project {
	t.Helper()
	root := filepath.Join(t.TempDir(), "shop")
	for name, text := range files {
		at := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return loadFrom(t, root)
}

// loadFrom loads the stack in a directory.
func loadFrom(t testing.TB, root string) *compose.Project {
	t.Helper()
	stacks, err := compose.Discover(root, ".", "shop")
	if err != nil || len(stacks) != 1 {
		t.Fatalf("discover: %v, %d stacks", err, len(stacks))
	}
	p, err := compose.Load(t.Context(), stacks[0], compose.LoadOptions{Root: root, DataDir: "/data", Edge: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func lines(text string) [][]string {
	var out [][]string
	scan := bufio.NewScanner(strings.NewReader(text))
	for scan.Scan() {
		if words := strings.Fields(scan.Text()); len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			out = append(out, words)
		}
	}
	return out
}

func section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func setFile(a *txtar.Archive, name, text string) {
	for i := range a.Files {
		if a.Files[i].Name == name {
			a.Files[i].Data = []byte(text)
			return
		}
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
}
