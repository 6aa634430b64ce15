package reconcile

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"davit/compose"
)

const (
	// collectInterval is how often content that nobody needs is looked for.
	collectInterval = 10 * time.Minute
	// collectGrace is how long content is left alone after it was made.
	collectGrace = time.Hour
)

// collectDue reports whether it is time to collect content. The caller holds l.mu.
func (l *Loop) collectDue(now time.Time) bool {
	if now.Before(l.collectAt) {
		return false
	}
	l.collectAt = now.Add(collectInterval)
	return true
}

// collect removes the content that nobody needs any more. Who writes content
// waits meanwhile: what it finds in its place stays there.
func (l *Loop) collect(ctx context.Context) {
	l.content.Lock()
	defer l.content.Unlock()
	// First the work, then the engine: work that ends in between has made its
	// containers, or is found as a release.
	needed := l.underWay()
	observed, err := l.Engine.Observe(ctx)
	if err == nil {
		err = l.neededBy(observed, needed)
	}
	if err != nil {
		l.Logger.Warn("content that nobody needs is left where it is", "error", err)
		return
	}
	removed, err := l.Files.Collect(needed, l.Now().Add(-collectGrace))
	if err != nil {
		l.Logger.Warn("not all content that nobody needs is removed", "error", err)
	}
	if len(removed) > 0 {
		l.Logger.Info("content that nobody needs is removed", "sums", strings.Join(removed, " "))
	}
}

// underWay is the content that work under way will mount.
func (l *Loop) underWay() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	needed := map[string]bool{}
	for _, s := range l.stacks {
		if s.work != nil {
			maps.Copy(needed, s.work.needs)
		}
	}
	return needed
}

// neededBy adds the content that a container mounts, whoever made it and whatever
// its state, and that of what is declared, of the releases that containers are of,
// and of those that a stack may go back to.
func (l *Loop) neededBy(observed Observed, needed map[string]bool) error {
	for _, c := range observed.Containers {
		for _, m := range c.Mounts {
			for _, sum := range compose.ContentOf(m.Source) {
				needed[sum] = true
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range sortedKeys(l.stacks) {
		s := l.stacks[name]
		in := l.situation(s, l.Now())
		if s.work != nil {
			maps.Copy(needed, s.work.needs)
		}
		if in.Declared != nil {
			maps.Copy(needed, contentOf(in.Declared))
		}
		if in.Known && in.gone() {
			continue
		}
		if err := l.kept(s, observed, needed); err != nil {
			return err
		}
	}
	return nil
}

// kept adds the content of the releases of one stack that are or may be wanted. Of
// those that nothing runs of, what is encrypted need not be there decrypted.
func (l *Loop) kept(s *stack, observed Observed, needed map[string]bool) error {
	made := map[int64]bool{}
	for _, c := range observed.ownedBy(s.name, l.Instance) {
		made[c.Release] = true
	}
	returns := l.mayReturn(s)
	for _, r := range s.history {
		if !made[r.Seq] && !returns[r.Seq] || len(r.Project) == 0 {
			continue
		}
		p, err := compose.Unmarshal(r.Project)
		if err != nil {
			return fmt.Errorf("read the project of release #%d of stack %s: %w", r.Seq, s.name, err)
		}
		if made[r.Seq] {
			maps.Copy(needed, contentOf(p))
		}
		for _, c := range p.Content {
			needed[c.Digest] = true
		}
	}
	return nil
}

// mayReturn are the releases that the stack may go back to: the last good ones,
// and what an operator or a failure has fixed.
func (l *Loop) mayReturn(s *stack) map[int64]bool {
	out := map[int64]bool{}
	if pin := s.controls.Pin; pin != nil {
		out[pin.Seq] = true
	}
	if hold := s.controls.Hold; hold != nil {
		out[hold.Seq] = true
	}
	contents := map[string]bool{}
	for i, r := range s.history {
		if i == 0 {
			out[r.Seq] = true // the newest, however it ended
		}
		if r.Good() && (contents[r.Hash] || len(contents) < l.KeepReleases) {
			contents[r.Hash] = true
			out[r.Seq], out[r.Restores] = true, true
		}
	}
	return out
}
