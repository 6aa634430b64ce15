package engine

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"davit/reconcile"
)

// volumeWithin bounds a look at one volume, and volumesWithin the time after which
// a snapshot looks at no more of them: what a volume plugin has to say is worth no
// more.
const volumeWithin, volumesWithin = 5 * time.Second, 10 * time.Second

// volumeCache remembers inspects of volumes. Labels never change, and a volume
// stays for as long as a container mounts it: so long is it believed.
type volumeCache struct {
	mu      *sync.Mutex
	entries map[string]mountedVolume // by name
}

type mountedVolume struct {
	volume reconcile.Volume
	// known is false for one that could not be looked at; it is tried again at
	// the time given.
	known bool
	again time.Time
	users []string // IDs of the containers that mounted it at the last look
}

func newVolumeCache() volumeCache {
	return volumeCache{mu: &sync.Mutex{}, entries: map[string]mountedVolume{}}
}

// unnamed is the form of the names that the engine makes up.
var unnamed = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{64}$`) })

// look returns the named volumes that the containers mount, sorted by name. A
// volume that cannot be looked at is left out: it is one plugin's trouble.
func (v volumeCache) look(ctx context.Context, e *Engine, containers []reconcile.Container) ([]reconcile.Volume, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	users := map[string][]string{}
	for _, c := range containers {
		for _, name := range c.Volumes {
			if !unnamed().MatchString(name) {
				users[name] = append(users[name], c.ID)
			}
		}
	}
	maps.DeleteFunc(v.entries, func(name string, _ mountedVolume) bool { return len(users[name]) == 0 })
	var all []reconcile.Volume
	began := time.Now()
	for name, ids := range users {
		entry, ok := v.entries[name]
		stale := !ok || !overlap(entry.users, ids) || !entry.known && time.Now().After(entry.again)
		if stale && time.Since(began) > volumesWithin {
			continue // for the next snapshot
		}
		if stale {
			var err error
			if entry, err = e.lookAtVolume(ctx, name); err != nil {
				return nil, err
			}
		}
		entry.users = ids
		v.entries[name] = entry
		if entry.known {
			all = append(all, entry.volume)
		}
	}
	slices.SortFunc(all, func(a, b reconcile.Volume) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(id string) bool { return slices.Contains(b, id) })
}

func (e *Engine) lookAtVolume(ctx context.Context, name string) (mountedVolume, error) {
	var found volume.Volume
	err := e.doWithin(ctx, min(volumeWithin, e.timeout), "inspect volume "+name, func(ctx context.Context, c *client.Client) (err error) {
		found, err = c.VolumeInspect(ctx, name)
		return err
	})
	switch {
	case err == nil:
		return mountedVolume{known: true, volume: reconcile.Volume{
			Name: name, Stack: found.Labels[labelProject], Key: found.Labels[labelVolume], ConfigHash: found.Labels[labelConfigHash],
		}}, nil
	case ctx.Err() != nil:
		return mountedVolume{}, err
	case errors.Is(err, reconcile.ErrEngineUnavailable) && e.alive(ctx) != nil:
		return mountedVolume{}, err
	case !errdefs.IsNotFound(err):
		e.log.Warn("a volume cannot be looked at", "volume", name, "err", err)
	}
	return mountedVolume{again: time.Now().Add(believedWithEvents)}, nil
}
