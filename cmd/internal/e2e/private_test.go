package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// island is a host whose engine may be killed: nobody else uses it. Its images
// are loaded, for no registry can be reached from there.
type island struct {
	t      *testing.T
	engine *testbed.PrivateEngine
	bed    *testbed.Bed
	repo   *testbed.Repo
	stack  *testbed.Stack
	agent  *testbed.Agent
	edits  int
	// journals are what databases had written when they were looked at last.
	journals map[string]string
}

func newIsland(t *testing.T, name string, engineArgs ...string) *island {
	t.Helper()
	engine := testbed.NewPrivateEngine(t, engineArgs...)
	bed := testbed.NewWith(t, testbed.Config{Engine: engine.Host})
	i := &island{t: t, engine: engine, bed: bed, repo: bed.Repo(name), stack: bed.Stack(name), journals: map[string]string{}}
	i.agent = bed.NewAgent(testbed.Run{Repo: i.repo.URL})
	i.agent.Patience = 2 * time.Minute
	return i
}

// part is one service of an island's compose file.
type part struct {
	name  string
	image testbed.Image
	lines []string
}

// push commits a compose file of the parts and returns the commit's id.
func (i *island) push(parts ...part) string {
	i.t.Helper()
	i.edits++
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\nservices:\n", i.stack.Name)
	for _, p := range parts {
		fmt.Fprintf(&b, "  %s:\n    image: %s\n    pull_policy: never\n", p.name, p.image.Ref)
		for _, line := range p.lines {
			b.WriteString("    " + line + "\n")
		}
	}
	return i.send(b.String())
}

func (i *island) send(content string) string {
	i.t.Helper()
	commit := i.repo.Release("", map[string]string{"compose.yaml": content})
	if i.agent.Running() {
		i.agent.Signal(syscall.SIGHUP)
	}
	return commit
}

// deployed waits until the stack runs what the commit declares.
func (i *island) deployed(commit string) {
	i.t.Helper()
	i.agent.WaitStatus(i.stack.Name, "commit "+commit[:7]+" synced and healthy", func(st testbed.Status) bool {
		return st.Sync == "synced" && st.Health == "healthy" && strings.HasSuffix(st.Revision, commit)
	})
}

// database is a part like PostgreSQL: its image declares a volume that the file
// does not mention, and a second writer on it refuses to start.
func (i *island) database(version string, env map[string]string) testbed.Image {
	i.t.Helper()
	return i.bed.Load("db:"+version, testbed.App{Version: version, Volume: "/data", Env: env})
}

// kept checks that a database has lost nothing of what it ever wrote, and that
// no second writer ever came.
func (i *island) kept(service string) {
	i.t.Helper()
	c := i.stack.Only(service)
	journal, err := i.engine.ReadFile(i.t.Context(), c.ID, "/data/log")
	if err != nil {
		i.t.Fatal(err)
	}
	if before := i.journals[service]; !strings.HasPrefix(journal, before) {
		i.t.Errorf("%s in volume %s has lost what was written before", c.Name, c.Volumes["/data"])
	}
	if strings.Contains(journal, "conflict") {
		i.t.Errorf("%s: there were two writers:\n%s", c.Name, turns(journal))
	}
	i.journals[service] = journal
}

// turns are the lines of a journal that say who began and who ended.
func turns(journal string) string {
	var b strings.Builder
	for line := range strings.Lines(journal) {
		if !strings.HasPrefix(line, "tick") {
			b.WriteString(line)
		}
	}
	return b.String()
}
