package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"davit/cmd/internal/testbed"
	"davit/rollout"
)

// replacement is how long it takes to replace every service of one stack, by davit and
// by others on the same engine. The clock of each runs until the last of the new
// containers can be used.
type replacement struct {
	services int
	// davit is from the revision that was fetched until the last new container has its
	// name. start and own are what its containers took themselves, as the engine says: from
	// the first that was created until the last one had started, and until the engine
	// called the last one healthy, which is after davit has found out itself.
	davit, start, own []time.Duration
	// bare is by the same calls of the engine, compose by `docker compose up`, which stops
	// first, and script by docker-rollout, which goes from service to service; nil where it
	// is not on PATH.
	bare, compose, script []time.Duration
}

// replacements measures stacks of so many services each.
func (h *host) replacements(rounds int, sizes ...int) []replacement {
	var out []replacement
	app := h.bed.Load("ready:1", testbed.App{Version: "1", HealthEvery: time.Second, Env: map[string]string{"DRAIN": "0s"}})
	for _, n := range sizes {
		h.Logf("%d services of one stack replaced, %d times by each", n, rounds)
		r := replacement{services: n}
		b := bench{host: h, name: fmt.Sprintf("roll%d", n), services: n, image: app.Ref}
		b.deploy()
		for range rounds {
			took, its := b.byDavit()
			r.davit, r.start, r.own = append(r.davit, took), append(r.start, its.started.Sub(its.created)), append(r.own, its.healthy.Sub(its.created))
			r.bare = append(r.bare, b.bare())
		}
		b.agent.Stop()
		b.remove(b.name)
		r.compose = b.byCompose(rounds)
		if script, err := exec.LookPath("docker-rollout"); err == nil {
			r.script = b.byScript(script, rounds)
		}
		b.remove(b.name)
		h.Logf("%s", r)
		out = append(out, r)
	}
	return out
}

// bench is a stack whose services are all replaced, again and again.
type bench struct {
	*host
	name     string
	services int
	image    string
	edits    int
	repo     *testbed.Repo
	agent    *testbed.Agent
}

// looks is how often the engine runs the health check of each: a process every time, so
// that a hundred of them a second would be all that two CPUs do.
func (b *bench) looks() time.Duration {
	return max(time.Second, time.Duration(b.services)*200*time.Millisecond)
}

// file is the stack's compose file after so many edits.
func (b *bench) file() string {
	var text strings.Builder
	// The engine's own pools have room for 61 containers in a network, and all are there twice.
	fmt.Fprintf(&text, "name: %s\nnetworks: {default: {ipam: {config: [{subnet: 10.%d.0.0/22}]}}}\nservices:\n", b.name, 200+b.services)
	for i := range b.services {
		fmt.Fprintf(&text, "  s%d:\n    image: %s\n    pull_policy: never\n    environment: {EDIT: \"%d\"}\n    stop_grace_period: 2s\n"+
			"    healthcheck: {interval: %s}\n    x-davit: {monitor: 0s, standby: {for: 0s}}\n", i, b.image, b.edits, b.looks())
	}
	return text.String()
}

func (b *bench) deploy() {
	b.repo = b.bed.Repo(b.name)
	b.repo.Release("v1.0.0", map[string]string{b.name + "/compose.yaml": b.file()})
	b.agent = b.bed.Agent(testbed.Run{Repo: b.repo.URL, Interval: time.Hour, Args: []string{"--branch", "main", "--edge", "off"}})
	b.agent.WaitStatus(b.name, "every service to run", func(s testbed.Status) bool { return s.Sync == "synced" && s.Health == "healthy" })
}

// what the agent writes when it has fetched a revision, and when a replica has its name.
var (
	fetched = regexp.MustCompile(`(?m)^time=(\S+) .*kind=NewRevision `)
	joined  = regexp.MustCompile(`(?m)^time=(\S+) .*msg="step done" .*kind=join `)
)

// byDavit replaces every service with a commit.
func (b *bench) byDavit() (took time.Duration, its life) {
	b.edits++
	before := len(b.agent.Log())
	commit := b.repo.Release("", map[string]string{b.name + "/compose.yaml": b.file()})
	b.agent.Signal(syscall.SIGHUP)
	b.agent.WaitRelease(b.name, "the edit to be out", func(r testbed.Release) bool { return r.Commit == commit && r.Outcome == "succeeded" })
	log := b.agent.Log()[before:]
	begun, named := b.moments(fetched, log), b.moments(joined, log)
	if len(begun) != 1 || len(named) != b.services {
		b.Fatalf("%d revisions and %d new names in\n%s", len(begun), len(named), log)
	}
	return named[len(named)-1].Sub(begun[0]), b.lives()
}

// moments are when lines were written, in their order.
func (b *bench) moments(line *regexp.Regexp, log string) []time.Time {
	var out []time.Time
	for _, found := range line.FindAllStringSubmatch(log, -1) {
		at, err := time.Parse(time.RFC3339Nano, found[1])
		if err != nil {
			b.Fatalf("the agent's log: %v", err)
		}
		out = append(out, at)
	}
	return out
}

// life is when a container was created, had started, and was healthy, as the engine says;
// zero for what has not happened.
type life struct{ created, started, healthy time.Time }

// lives waits until every container of the newest edit is healthy, and tells when the
// first was created, and the last had started and was healthy.
func (b *bench) lives() (whole life) {
	d := newDirect(b.engine.Host)
	defer d.http.CloseIdleConnections()
	seen := 0
	b.patiently("containers to be healthy", func() bool {
		all, err := b.engine.Containers(b.Context(), b.name)
		if err != nil {
			b.Fatalf("%v", err)
		}
		whole, seen = life{}, 0
		for _, c := range all {
			if !c.Running || !strings.Contains(strings.Join(c.Env, "\n"), fmt.Sprintf("EDIT=%d", b.edits)) {
				continue
			}
			one := b.life(d, c.ID)
			if one.healthy.IsZero() {
				return false
			}
			if seen++; whole.created.IsZero() || one.created.Before(whole.created) {
				whole.created = one.created
			}
			whole.started, whole.healthy = later(whole.started, one.started), later(whole.healthy, one.healthy)
		}
		return seen == b.services
	})
	return whole
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (b *bench) life(d direct, id string) life {
	var found struct {
		Created time.Time
		State   struct {
			StartedAt time.Time
			Health    struct {
				Log []struct {
					End      time.Time
					ExitCode int
				}
			}
		}
	}
	if err := d.call(b.Context(), http.MethodGet, "/containers/"+id+"/json", nil, &found); err != nil {
		b.Fatalf("%v", err)
	}
	for _, look := range found.State.Health.Log {
		if look.ExitCode == 0 {
			return life{found.Created, found.State.StartedAt, look.End}
		}
	}
	return life{found.Created, found.State.StartedAt, time.Time{}}
}

func (b *bench) patiently(what string, ok func() bool) {
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) || b.Context().Err() != nil {
			b.Fatalf("waited %s in vain for %s", patience, what)
		}
	}
}

// bare makes the calls that a replacement of every service takes, as many at once as davit
// would, with nothing decided, checked or recorded: each container is made, started, taken
// out of its network, and brought back with its name, and the last of them ends it. Then
// they are removed.
func (b *bench) bare() time.Duration {
	d := newDirect(b.engine.Host)
	defer d.http.CloseIdleConnections()
	ids := make([]string, b.services)
	begun := time.Now()
	room := make(chan struct{}, rollout.DefaultParallel)
	b.all(b.services, func(i int) (err error) {
		room <- struct{}{}
		defer func() { <-room }()
		name, network := fmt.Sprintf("bare-s%d", i), b.name+"_default"
		if ids[i], err = d.run(b.Context(), name, network, b.image); err != nil {
			return err
		}
		leave, join := object{"Container": ids[i]}, object{"Container": ids[i], "EndpointConfig": object{"Aliases": []string{name}}}
		if err = d.call(b.Context(), http.MethodPost, "/networks/"+network+"/disconnect", leave, nil); err != nil {
			return err
		}
		return d.call(b.Context(), http.MethodPost, "/networks/"+network+"/connect", join, nil)
	})
	took := time.Since(begun)
	b.times(b.services, func(i int) error {
		return d.call(b.Context(), http.MethodDelete, "/containers/"+ids[i]+"?force=true&v=true", nil, nil)
	})
	return took
}

// directory has the compose file of the newest edit.
func (b *bench) directory() string {
	dir := filepath.Join(b.bed.Dir, "by-others-"+b.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatalf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(b.file()), 0o644); err != nil {
		b.Fatalf("%v", err)
	}
	return dir
}

// byCompose lets Docker Compose itself replace every service.
func (b *bench) byCompose(rounds int) []time.Duration {
	compose := b.bed.Composer()
	compose.Run(b.directory(), "up", "-d", "--wait")
	var out []time.Duration
	for range rounds {
		b.edits++
		dir, begun := b.directory(), time.Now()
		compose.Run(dir, "up", "-d")
		out = append(out, b.lives().healthy.Sub(begun))
	}
	return out
}

// byScript lets docker-rollout replace the services that Compose has left, one by one.
func (b *bench) byScript(script string, rounds int) []time.Duration {
	var out []time.Duration
	for range rounds {
		b.edits++
		dir, begun := b.directory(), time.Now()
		for i := range b.services {
			command := exec.CommandContext(b.Context(), script, "-f", "compose.yaml", fmt.Sprintf("s%d", i))
			command.Dir, command.Env = dir, append(os.Environ(), "DOCKER_HOST="+b.engine.Host)
			if output, err := command.CombinedOutput(); err != nil {
				b.Fatalf("docker-rollout: %v\n%s", err, output)
			}
		}
		out = append(out, b.lives().healthy.Sub(begun))
	}
	return out
}

// replacementTable is all of them in Markdown.
func replacementTable(all []replacement) string {
	var b strings.Builder
	b.WriteString("| services of a stack replaced | davit, since the revision was fetched | its containers until they had started | and until the engine called them healthy | davit beside the latter | the same calls to the engine (davit of it) | docker compose up (davit of it) | docker-rollout (davit of it) |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range all {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

// String is a row of it.
func (r replacement) String() string {
	davit, own := median(pick(r.davit, same)), median(pick(r.own, same))
	row := fmt.Sprintf("| %d | %s | %s | %s | %s | %s (%.2f) | %s (%.2f) |", r.services, seconds(davit), seconds(median(pick(r.start, same))), seconds(own), milliseconds(davit-own),
		seconds(median(pick(r.bare, same))), ratio(davit, median(pick(r.bare, same))),
		seconds(median(pick(r.compose, same))), ratio(davit, median(pick(r.compose, same))))
	if r.script == nil {
		return row + " not on PATH |"
	}
	return row + fmt.Sprintf(" %s (%.2f) |", seconds(median(pick(r.script, same))), ratio(davit, median(pick(r.script, same))))
}

func same(d time.Duration) time.Duration { return d }
