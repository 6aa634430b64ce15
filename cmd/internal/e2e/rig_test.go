package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// rig is one stack with its repository, and an agent that reaches the engine
// through a proxy.
type rig struct {
	*testing.T
	bed   *testbed.Bed
	stack *testbed.Stack
	repo  *testbed.Repo
	proxy *testbed.EngineProxy
	agent *testbed.Agent
	// versions are the images pushed so far, by the IDs an engine may give them.
	versions map[string]string
}

// newRig makes a rig whose agent is not started.
func newRig(t *testing.T, stack string) *rig {
	t.Helper()
	bed := testbed.New(t)
	r := &rig{T: t, bed: bed, stack: bed.Stack(stack), repo: bed.Repo(stack), proxy: bed.Proxy(), versions: map[string]string{}}
	r.agent = bed.NewAgent(testbed.Run{Repo: r.repo.URL, Engine: r.proxy.Host, Args: []string{"--branch", "main"}})
	return r
}

// image pushes service:version.
func (r *rig) image(service, version string, app testbed.App) testbed.Image {
	r.Helper()
	app.Version = version
	image := r.bed.Push(service+":"+version, app)
	r.versions[image.ID], r.versions[image.Digest] = version, version
	return image
}

// push commits a compose file whose services are written out below, and returns
// the commit.
func (r *rig) push(tag string, services ...string) string {
	r.Helper()
	return r.repo.Release(tag, map[string]string{"compose.yaml": "name: " + r.stack.Name + "\nservices:\n" + strings.Join(services, "")})
}

// service is one service of a compose file; settings are lines of its own.
func service(name string, image testbed.Image, settings ...string) string {
	text := "  " + name + ":\n    image: " + image.Ref + "\n"
	for _, line := range settings {
		text += "    " + line + "\n"
	}
	return text
}

// poll has a running agent look at the repository now.
func (r *rig) poll() {
	r.Helper()
	r.agent.Signal(syscall.SIGHUP)
}

// waitCommit waits until the stack runs a commit, synced and healthy.
func (r *rig) waitCommit(commit string) testbed.Status {
	r.Helper()
	return r.agent.WaitStatus(r.stack.Name, "the stack at "+commit[:7]+", synced and healthy", func(s testbed.Status) bool {
		return strings.Contains(s.Revision, commit[:7]) && s.Sync == "synced" && s.Health == "healthy"
	})
}

// waitSucceeded waits until a commit's release has succeeded.
func (r *rig) waitSucceeded(commit string) testbed.Release {
	r.Helper()
	return r.agent.WaitRelease(r.stack.Name, "a release of "+commit[:7]+" to have succeeded", func(x testbed.Release) bool {
		return x.Commit == commit && x.Outcome == "succeeded"
	})
}

// shape is what the engine has of the stack, without what differs from one run to
// the next: a line for every container and one for the images that are held of
// every service.
func (r *rig) shape() []string {
	r.Helper()
	return append(r.lines(), r.held()...)
}

// lines are those of the containers alone, which cost the engine far less to tell.
func (r *rig) lines() []string {
	r.Helper()
	var lines []string
	for _, c := range r.stack.Containers() {
		lines = append(lines, r.line(c))
	}
	slices.Sort(lines)
	return lines
}

// line describes a container; its number is part of its name, and a name that
// differs from Compose's shows.
func (r *rig) line(c testbed.Container) string {
	state := c.State
	if c.Running {
		state = c.Health
		if slices.Contains(c.Aliases[r.stack.Network()], c.Service) {
			state += " as " + c.Service
		}
	}
	line := fmt.Sprintf("%s %s, %s, restart %s", c.Service, r.version(c.ImageID), state, c.Restart)
	if want := fmt.Sprintf("%s-%s-%d", r.stack.Name, c.Service, c.Number); c.Name != want {
		line += ", called " + c.Name
	}
	return line
}

func (r *rig) version(imageID string) string {
	if v, ok := r.versions[imageID]; ok {
		return v
	}
	return imageID
}

// held are the images that keep tags hold, oldest release first.
func (r *rig) held() []string {
	r.Helper()
	tags, err := r.bed.Engine.KeepTags(r.Context(), r.stack.Name)
	if err != nil {
		r.Fatal(err)
	}
	slices.SortFunc(tags, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	held := map[string][]string{}
	for _, tag := range tags {
		id, err := r.bed.Engine.ImageID(r.Context(), tag)
		if err != nil {
			r.Fatal(err)
		}
		name, _, _ := strings.Cut(tag[strings.LastIndex(tag, "/")+1:], ":")
		held[name] = append(held[name], r.version(id))
	}
	var lines []string
	for name, versions := range held {
		lines = append(lines, "held of "+name+": "+strings.Join(versions, " "))
	}
	slices.Sort(lines)
	return lines
}

// eventually waits for ok and returns as soon as it holds.
func (r *rig) eventually(what string, ok func() bool) {
	r.Helper()
	deadline := time.Now().Add(r.agent.Patience)
	for pause := 20 * time.Millisecond; !ok(); pause = min(pause*5/4, 100*time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("waited %s in vain for %s", r.agent.Patience, what)
		}
		time.Sleep(pause)
	}
}

func ids(containers []testbed.Container) []string {
	var all []string
	for _, c := range containers {
		all = append(all, c.ID)
	}
	slices.Sort(all)
	return all
}
