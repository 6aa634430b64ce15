package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"davit/compose"
)

// renewal is what the image references of one content mean by now, where its
// release ran something else.
type renewal struct {
	// spec is the content.
	spec string
	// images are the new ones, by service; asked is when a reference was looked up
	// last.
	images map[string]Image
	asked  map[string]time.Time
}

// renewed are the images that references of the declared content mean by now.
// The caller holds l.mu.
func (s *stack) renewed(declared *compose.Project) map[string]Image {
	if declared == nil || s.renewal.spec != declared.Hash {
		return nil
	}
	return s.renewal.images
}

// refresh looks up the image references that are believed only for a time, once
// that is over. It returns when the next one is due; zero for never. The caller
// holds l.mu, and the stack is at rest.
func (l *Loop) refresh(ctx context.Context, s *stack, in Situation, v Verdict, now time.Time) time.Time {
	held := v.Sync == SyncHeld && v.Current != nil && in.Declared != nil && same(*v.Current, in.Declared)
	if v.Sync != SyncSynced && !held || in.Declared == nil || l.ObserveOnly {
		return time.Time{}
	}
	if s.renewal.spec != in.Declared.Hash {
		s.renewal = renewal{spec: in.Declared.Hash}
	}
	var due []compose.Service
	var next time.Time
	for _, service := range in.Declared.Services {
		at := s.believedUntil(service, v.Current)
		switch {
		case at.IsZero():
		case !now.Before(at) || s.retry == in.Declared.Hash:
			due = append(due, service)
		case next.IsZero() || at.Before(next):
			next = at
		}
	}
	if len(due) == 0 {
		return next
	}
	l.lookUp(ctx, s, lookup{registry: l.lookups, due: due, current: *v.Current, history: in.History, retry: s.retry == in.Declared.Hash})
	return time.Time{}
}

// believedUntil is when the service's reference is to be looked up again; zero for
// never.
func (s *stack) believedUntil(service compose.Service, current *Release) time.Time {
	every := service.Refresh()
	if every <= 0 || current == nil {
		return time.Time{}
	}
	rec, ok := current.Service(service.Name)
	if !ok || rec.Image.Built != "" {
		return time.Time{}
	}
	at := s.renewal.asked[service.Name]
	for _, known := range []time.Time{rec.Image.Resolved, current.Started} {
		if at.IsZero() {
			at = known
		}
	}
	return at.Add(every)
}

// lookup is one look at what references mean.
type lookup struct {
	registry Registry
	due      []compose.Service
	current  Release
	history  []Release
	// retry is true when an operator asked for it: what failed may be tried again.
	retry bool
}

// lookUp asks the registries on a goroutine of its own. The caller holds l.mu.
func (l *Loop) lookUp(ctx context.Context, s *stack, look lookup) {
	ctx, cancel := context.WithCancelCause(ctx)
	s.work = &work{declared: s.declared, cancel: cancel, what: "refresh", quiet: true}
	l.workers.Go(func() {
		defer cancel(nil)
		found := map[string]Image{}
		failed := map[string]error{}
		for _, service := range look.due {
			image, err := resolver{engine: l.Engine, registry: look.registry, now: l.Now}.remote(ctx, service)
			if found[service.Name] = image; err != nil {
				delete(found, service.Name)
				failed[service.Name] = err
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		s.work = nil
		if ctx.Err() == nil && s.renewal.spec == look.current.Spec {
			l.takeIn(s, look, found, failed)
		}
		l.poke()
	})
}

// takeIn remembers what a look found. The caller holds l.mu.
func (l *Loop) takeIn(s *stack, look lookup, found map[string]Image, failed map[string]error) {
	now := l.Now()
	s.renewal.asked = maps.Clone(s.renewal.asked)
	if s.renewal.asked == nil {
		s.renewal.asked = map[string]time.Time{}
	}
	if look.retry {
		s.retry = ""
	}
	images := map[string]Image{}
	for _, service := range look.due {
		if err := failed[service.Name]; err != nil {
			every := service.Refresh()
			s.renewal.asked[service.Name] = now.Add(min(every, lastRetry) - every)
			s.logger.Warn("image reference not looked up; what runs stays", "service", service.Name, "error", err)
			continue
		}
		s.renewal.asked[service.Name] = now
		image := found[service.Name]
		rec, _ := look.current.Service(service.Name)
		if !image.Same(rec.Image) && (look.retry || !disappointed(look.history, look.current.Spec, service.Name, image)) {
			images[service.Name] = image
		}
	}
	s.renewal.images = images
}

// disappointed reports whether this very image failed with this very content
// before.
func disappointed(history []Release, spec, service string, image Image) bool {
	return slices.ContainsFunc(history, func(r Release) bool {
		rec, ok := r.Service(service)
		return ok && r.Spec == spec && r.Outcome == Failed && rec.Image.Same(image)
	})
}

// renew begins the declared content anew with the images that its references mean
// by now.
func (v Verdict) renew(s Situation) Verdict {
	var refs []string
	for _, name := range sortedKeys(s.Renewed) {
		refs = append(refs, fmt.Sprintf("%s is %s now", s.Renewed[name].Ref, s.Renewed[name].Short()))
	}
	reason := "image changed behind tag: " + strings.Join(refs, ", ")
	o := s.opening()
	if !o.Open && !s.Override {
		// What is declared runs: that there is something newer makes nobody wait.
		v.Name = names(s)
		v = v.shutOut(s, SyncSynced)
		v.Reason = reason + "; " + v.Reason
		return v
	}
	v.Forced = !o.Open
	v.Act, v.Kind, v.Sync, v.Reason, v.Renews = ActDeploy, KindDeploy, SyncOutOfSync, reason, true
	return v
}
