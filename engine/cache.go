package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"

	"davit/reconcile"
)

// How long an inspect is believed. Most changes show in the list or as an event;
// a changed restart policy shows in events only, so without a stream the belief
// is short.
const (
	believedWithEvents    = 5 * time.Minute
	believedWithoutEvents = 15 * time.Second
)

// cache remembers inspects of containers that have not changed since.
type cache struct {
	mu      *sync.Mutex
	entries map[string]entry // by ID
	// forgotten is when a container was last forgotten, so that an inspect which was
	// under way meanwhile is not remembered; under "" all of them.
	forgotten map[string]time.Time
	// live is true while events arrive.
	live *bool
}

type entry struct {
	fingerprint string
	container   reconcile.Container
	at          time.Time
}

func newCache() cache {
	return cache{mu: &sync.Mutex{}, entries: map[string]entry{}, forgotten: map[string]time.Time{}, live: new(bool)}
}

// get returns what is remembered of a container that looks the same in a list.
func (c cache) get(s container.Summary, now time.Time) (reconcile.Container, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[s.ID]
	belief := believedWithoutEvents
	if *c.live {
		belief = believedWithEvents
	}
	if !ok || e.fingerprint != fingerprint(s) || now.Sub(e.at) > belief || unstable(e.container) {
		return reconcile.Container{}, false
	}
	return copied(e.container), true
}

// put remembers an inspect that was asked for at the time given, unless something
// changed since. What happens to other containers does not matter: on a host where
// something always happens, nothing would ever be remembered.
func (c cache) put(s container.Summary, o reconcile.Container, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.After(c.forgotten[s.ID]) && at.After(c.forgotten[""]) {
		c.entries[s.ID] = entry{fingerprint(s), copied(o), at}
	}
}

// keepOnly forgets every container that is not in the list, which bounds the
// cache by what runs.
func (c cache) keepOnly(list []container.Summary) {
	ids := idsOf(list)
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.entries, func(id string, _ entry) bool { return !ids[id] })
	// No inspect is under way for that long.
	maps.DeleteFunc(c.forgotten, func(_ string, at time.Time) bool { return time.Since(at) > believedWithEvents })
}

func idsOf(list []container.Summary) map[string]bool {
	ids := map[string]bool{}
	for _, s := range list {
		ids[s.ID] = true
	}
	return ids
}

// forget drops one container; the "" of a network's own events is none.
func (c cache) forget(id string) {
	if id == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgotten[id] = time.Now()
	delete(c.entries, id)
}

// setLive forgets everything: what happened before a stream began, or after it
// broke, was not heard.
func (c cache) setLive(live bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgotten[""] = time.Now()
	*c.live = live
	clear(c.entries)
}

// owner is the stack and service of a remembered container.
func (c cache) owner(id string) (stack, service string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.entries[id].container
	return o.Stack, o.Service
}

// unstable containers change without a sign in the list.
func unstable(o reconcile.Container) bool {
	return o.Health == reconcile.HealthStarting || o.State == reconcile.Restarting || o.State == reconcile.Removing
}

// fingerprint is everything in a list's row that changes when the container does,
// and nothing that changes by itself, as "Up 3 seconds" does. An endpoint has a
// new ID after every start and every move.
func fingerprint(s container.Summary) string {
	var b strings.Builder
	fmt.Fprintln(&b, s.State, remarks(s.Status), s.Names, s.ImageID)
	if s.NetworkSettings != nil {
		for _, name := range slices.SortedFunc(maps.Keys(s.NetworkSettings.Networks), cmp.Compare) {
			if n := s.NetworkSettings.Networks[name]; n != nil {
				fmt.Fprintln(&b, name, n.EndpointID, n.IPAddress)
			}
		}
	}
	return b.String()
}

// remarks are the parts of a status in parentheses: "Exited (2) 3 minutes ago" is
// "(2)", "Up 3 seconds (healthy)" is "(healthy)".
func remarks(status string) string {
	var out string
	for {
		_, rest, ok := strings.Cut(status, "(")
		if !ok {
			return out
		}
		remark, after, _ := strings.Cut(rest, ")")
		out, status = out+"("+remark+")", after
	}
}

func copied(o reconcile.Container) reconcile.Container {
	o.Volumes = maps.Clone(o.Volumes)
	o.Mounts = slices.Clone(o.Mounts)
	o.Endpoints = maps.Clone(o.Endpoints)
	for name, end := range o.Endpoints {
		end.Aliases = slices.Clone(end.Aliases)
		o.Endpoints[name] = end
	}
	return o
}
