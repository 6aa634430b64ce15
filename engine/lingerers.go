package engine

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// lingerers remembers the commands of probes that have not ended, by container and
// command. Nobody can end them, and one more in each interval would fill their container
// with processes, and the engine with work that it does not get done.
type lingerers struct {
	mu    *sync.Mutex
	execs map[[2]string]lingering
}

// lingering is a command that had not ended at that time, under the engine's name for it.
type lingering struct {
	exec string
	at   time.Time
}

func newLingerers() lingerers { return lingerers{mu: &sync.Mutex{}, execs: map[[2]string]lingering{}} }

// once runs x, unless the same command still runs from an earlier look: then it has not
// ended in time this time either.
func (l lingerers) once(ctx context.Context, c *client.Client, x *execution) error {
	key := [2]string{x.id, strings.Join(x.hook.Command, "\x00")}
	l.mu.Lock()
	earlier := l.execs[key].exec
	l.mu.Unlock()
	if earlier != "" {
		before := *x
		before.exec = earlier
		_, err := before.late(ctx, c)
		if before.open || err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		l.keep(key, "")
	}
	err := x.outcome(ctx, c)
	if x.open {
		l.keep(key, x.exec)
	}
	return err
}

// keep notes the engine's name for the command that is open, "" for none.
func (l lingerers) keep(key [2]string, exec string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.execs, key); exec != "" {
		l.execs[key] = lingering{exec: exec, at: time.Now()}
	}
}

// keepOnly forgets the commands in every container that is not in the list, which was asked
// for at that time and knows of nothing later.
func (l lingerers) keepOnly(list []container.Summary, asked time.Time) {
	ids := idsOf(list)
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.execs, func(key [2]string, its lingering) bool { return !ids[key[0]] && its.at.Before(asked) })
}
