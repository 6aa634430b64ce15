package reconcile_test

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
)

// shelf keeps content in memory. What is no longer on it comes back only from the
// newest revision.
type shelf struct {
	mu sync.Mutex
	// have is the content that is there, source that of the newest revision.
	have, source map[string]bool
	// backups are what the next Write tells.
	backups []compose.Backup
	removed int
}

func newShelf() *shelf { return &shelf{have: map[string]bool{}, source: map[string]bool{}} }

func (s *shelf) Write(p *compose.Project) ([]compose.Backup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range p.Content {
		if !s.have[c.Digest] && !s.source[c.From] {
			return nil, fmt.Errorf("read %s: %w", c.From, fs.ErrNotExist)
		}
		s.have[c.Digest] = true
	}
	backups := s.backups
	s.backups = nil
	return backups, nil
}

func (s *shelf) Collect(needed map[string]bool, _ time.Time) (removed []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sum := range slices.Sorted(maps.Keys(s.have)) {
		if !needed[sum] {
			delete(s.have, sum)
			removed = append(removed, sum)
		}
	}
	s.removed += len(removed)
	return removed, nil
}

func (s *shelf) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.have)
}

// publisher is a host whose pushes have a file.
type publisher struct {
	*host
	shelf *shelf
	seen  map[string]bool
	// loaded are the projects that were loaded before, by tag and content.
	loaded map[string]*compose.Project
}

func newPublisher(h *host) *publisher {
	p := &publisher{host: h, shelf: newShelf(), seen: map[string]bool{}, loaded: map[string]*compose.Project{}}
	h.stop()
	h.files = p.shelf
	h.boot()
	return p
}

// publish pushes a stack that mounts a file.
func (p *publisher) publish(tag, content string) {
	p.t.Helper()
	project, ok := p.loaded[tag+content]
	if !ok {
		project = loadTree(p.t, map[string]string{
			"compose.yaml": web(tag) + "    volumes: ['./conf:/conf:ro']\n", "conf": content,
		})
		p.loaded[tag+content] = project
	}
	p.shelf.mu.Lock()
	p.shelf.source = map[string]bool{project.Content[0].From: true}
	p.shelf.mu.Unlock()
	p.seen[project.Content[0].Digest] = true
	p.pushes++
	p.revision = reconcile.Revision{Ref: "main", Commit: fmt.Sprintf("%040d", p.pushes), Version: fmt.Sprintf("v1.%d.0", p.pushes), Tag: "t"}
	p.declared["shop"] = project
	p.declare()
}

// missing is content that a container mounts, or one of the last good releases
// needs, and that is gone.
func (p *publisher) missing() string {
	p.t.Helper()
	observed := p.observe()
	p.shelf.mu.Lock()
	defer p.shelf.mu.Unlock()
	for _, c := range observed.Containers {
		for _, m := range c.Mounts {
			for _, sum := range compose.ContentOf(m.Source) {
				if !p.shelf.have[sum] {
					return c.Name + " mounts " + sum
				}
			}
		}
	}
	p.record.mu.Lock()
	defer p.record.mu.Unlock()
	good := map[string]bool{}
	for _, r := range p.record.releases {
		if !r.Good() || len(good) == 3 && !good[r.Hash] {
			continue
		}
		good[r.Hash] = true
		project, err := compose.Unmarshal(r.Project)
		if err != nil {
			return err.Error()
		}
		if sum := project.Content[0].Digest; !p.shelf.have[sum] {
			return fmt.Sprintf("release #%d needs %s", r.Seq, sum)
		}
	}
	return ""
}

func TestContentIsCollectedOnceNobodyNeedsIt(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		p := newPublisher(h)
		h.image("shop:1.0", healthy())
		for i := range 6 {
			p.publish("1.0", fmt.Sprint("content ", i))
			h.pass(time.Minute)
		}
		h.pass(3 * time.Hour)
		if got := p.shelf.size(); got != 3 {
			t.Errorf("%d contents are kept, want those of the last 3 good releases", got)
		}
		if what := p.missing(); what != "" {
			t.Error(what)
		}
	})
}

func TestARevertToALongForgottenReleaseTakesItsContentFromTheRevision(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		p := newPublisher(h)
		h.image("shop:1.0", healthy())
		for _, content := range []string{"0", "1", "2", "3", "4"} {
			p.publish("1.0", content)
			h.pass(3 * time.Hour)
		}
		p.publish("1.0", "0")
		h.pass(time.Minute)
		if !strings.HasSuffix(h.history(), "#6 rollback v1.6.0 succeeded restores #1") || p.missing() != "" {
			t.Errorf("history:\n%s\n%s", h.history(), p.missing())
		}
	})
}

func TestAReleaseWhoseContentIsGoneIsRefusedAndTheStackGoesOn(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		p := newPublisher(h)
		h.image("shop:1.0", healthy())
		for _, content := range []string{"0", "1"} {
			p.publish("1.0", content)
			h.pass(3 * time.Hour)
		}
		p.shelf.mu.Lock()
		clear(p.shelf.have)
		p.shelf.mu.Unlock()
		if _, err := h.loop.Rollback(t.Context(), reconcile.RollbackRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Minute)
		if !strings.HasSuffix(h.history(), "#3 manual-rollback v1.1.0 refused restores #1") {
			t.Errorf("history:\n%s", h.history())
		}
		if got := h.running(); got != "web/2 shop:1.0" {
			t.Errorf("running %s", got)
		}
	})
}

func TestFilesThatContainersChangedAreReported(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		p := newPublisher(h)
		h.image("shop:1.0", healthy())
		p.shelf.backups = []compose.Backup{{File: "/f", Copy: "/f.copy"}, {File: "/g", Copy: "/g.copy", Restored: true}}
		p.publish("1.0", "x")
		h.pass(time.Minute)
		if h.emitted(reconcile.EventFileBackedUp) != 1 || h.emitted(reconcile.EventFileRestored) != 1 {
			t.Error(h.story())
		}
		for _, e := range h.events {
			if (e.Kind == reconcile.EventFileBackedUp || e.Kind == reconcile.EventFileRestored) && e.Stack != "shop" {
				t.Errorf("%s is of stack %q", e.Kind, e.Stack)
			}
		}
		for _, part := range []string{"/f, which a container had changed", "/f.copy", "/g is again", "/g.copy"} {
			if !strings.Contains(h.story(), part) {
				t.Errorf("no event says %q:\n%s", part, h.story())
			}
		}
	})
}

// TestNoContentThatIsNeededIsEverCollected lets a davit live through a drawn life
// and looks, after everything that happens, whether anything mounts what is gone.
func TestNoContentThatIsNeededIsEverCollected(t *testing.T) {
	t.Parallel()
	loaded := map[string]*compose.Project{}
	rapid.Check(t, func(rt *rapid.T) {
		var lives []act
		for range rapid.IntRange(3, 8).Draw(rt, "acts") {
			lives = append(lives, act{
				what: rapid.IntRange(0, 6).Draw(rt, "what"),
				tag:  rapid.IntRange(0, 5).Draw(rt, "content"),
				then: time.Duration(rapid.IntRange(0, 12).Draw(rt, "minutes after")) * time.Minute,
			})
		}
		problem := ""
		simulate(t, func(t *testing.T, h *host) {
			p := newPublisher(h)
			p.loaded = loaded
			h.image("shop:1.0", healthy())
			h.image("shop:bad", sick())
			p.publish("1.0", "first")
			for _, a := range lives {
				p.live(a)
				if what := p.missing(); what != "" && problem == "" {
					problem = fmt.Sprintf("%s in %v\n%s\n%s", what, lives, h.history(), h.story())
				}
			}
			h.pass(time.Hour)
			if got := p.shelf.size(); got > 6 && problem == "" {
				problem = fmt.Sprintf("%d contents are kept in the end in %v\n%s", got, lives, h.history())
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func (p *publisher) live(a act) {
	ctx := p.t.Context()
	content := fmt.Sprint("content ", a.tag)
	switch a.what {
	default:
		p.publish("1.0", content)
	case 3:
		p.publish("bad", content)
	case 4:
		_, _ = p.loop.Rollback(ctx, reconcile.RollbackRequest{Stack: "shop", Actor: "ann", Hold: a.tag == 0})
	case 5:
		p.record.die(true)
		p.stop()
		p.record.die(false)
		p.boot()
	case 6:
		p.engine.RestartDaemon()
	}
	p.pass(a.then)
}

var _ reconcile.Files = (*shelf)(nil)

// The twin reports the mounts that the engine would.
func TestTheTwinShowsWhatIsMounted(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		p := newPublisher(h)
		h.image("shop:1.0", enginetest.Behaviour{})
		p.publish("1.0", "x")
		h.pass(time.Minute)
		var sums []string
		for _, c := range h.observe().Containers {
			for _, m := range c.Mounts {
				sums = append(sums, compose.ContentOf(m.Source)...)
			}
		}
		if len(sums) != 1 || !p.seen[sums[0]] {
			t.Errorf("mounted %v", sums)
		}
	})
}
