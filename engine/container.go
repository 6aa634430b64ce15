package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"davit/reconcile"
)

// Inspect looks at one container. reconcile.ErrContainerMissing when it is gone.
//
// That a container has ended is only said once the engine has taken a new
// connection: one that shuts down takes none, ends every container and goes on
// answering over the connections that it has. No content is to blame for that.
func (e *Engine) Inspect(ctx context.Context, id string) (reconcile.Container, error) {
	found, err := e.inspect(ctx, id)
	if err != nil {
		return reconcile.Container{}, err
	}
	o := observed(found)
	if o.State == reconcile.Exited || o.State == reconcile.Dead {
		if err := e.answersAnew(ctx); err != nil {
			return reconcile.Container{}, fmt.Errorf("inspect container %s: it has ended, and so may the engine: %w: %w", id, reconcile.ErrEngineUnavailable, err)
		}
		e.ours.confirm(o.ID)
	}
	o.StopByHand, o.Health = e.ours.ended(o), e.exams.health(o)
	return o, nil
}

// observed turns the engine's answer into the hub's noun.
func observed(c container.InspectResponse) reconcile.Container {
	l := c.Config.Labels
	o := reconcile.Container{
		ID: c.ID, Name: strings.TrimPrefix(c.Name, "/"),
		Stack: l[labelProject], Service: l[labelService], Number: int(number(l[labelNumber])),
		OneOff:   l[labelOneOff] == "True",
		Hook:     reconcile.ParseHookMark(l[labelMark]),
		Instance: l[labelInstance], Release: number(l[labelRelease]), Spec: l[labelSpec], Version: l[labelDavitVersion],
		ImageRef: c.Config.Image, ImageID: c.Image,
		State: state(c.State.Status), Health: health(c.State.Health),
		ExitCode: c.State.ExitCode, OOMKilled: c.State.OOMKilled, Restarts: c.RestartCount,
		Created: moment(c.Created), Started: moment(c.State.StartedAt), Finished: moment(c.State.FinishedAt), Process: c.State.Pid,
		Restart:   restartWords(c.HostConfig.RestartPolicy),
		Grace:     graceOf(c.Config),
		Limits:    reconcile.Limits{Memory: c.HostConfig.Memory, NanoCPUs: c.HostConfig.NanoCPUs},
		Endpoints: map[string]reconcile.Endpoint{},
		Volumes:   map[string]string{},
		Mounts:    mounted(c),
		Borrows:   borrows(c.HostConfig),

		ConfigHash: l[labelConfigHash], WorkingDir: l[labelWorkingDir], ConfigFiles: l[labelFiles],
	}
	if strings.HasPrefix(o.Name, incomplete) {
		o.Spec = "" // made from no spec in full
	}
	if left := l[labelEdge]; left != "" {
		o.Edge = strings.Split(left, ",")
	}
	if c.NetworkSettings != nil {
		o.Published = bound(c.NetworkSettings.Ports)
		for name, n := range c.NetworkSettings.Networks {
			if n != nil {
				o.Endpoints[name] = reconcile.Endpoint{NetworkID: n.NetworkID, Aliases: aliases(n.Aliases, c.ID), IP: or(n.IPAddress, n.GlobalIPv6Address)}
			}
		}
	}
	if o.State == reconcile.Exited || o.State == reconcile.Dead {
		bury(&o)
	}
	for _, m := range c.Mounts {
		if m.Type == mount.TypeVolume {
			o.Volumes[m.Destination] = m.Name
		}
	}
	return o
}

// mounted is everything that the container mounts, sorted by path.
func mounted(c container.InspectResponse) []reconcile.Mount {
	var list []reconcile.Mount
	for _, m := range c.Mounts {
		one := reconcile.Mount{Path: m.Destination, Kind: reconcile.MountOther, Source: m.Source, Writable: m.RW}
		switch m.Type {
		case mount.TypeBind:
			one.Kind = reconcile.MountBind
		case mount.TypeVolume:
			one.Kind, one.Source = reconcile.MountVolume, m.Name
		case mount.TypeTmpfs:
			one.Kind, one.Source = reconcile.MountTmpfs, ""
		}
		list = append(list, one)
	}
	for path, options := range c.HostConfig.Tmpfs {
		writable := !slices.Contains(strings.Split(options, ","), "ro")
		list = append(list, reconcile.Mount{Path: path, Kind: reconcile.MountTmpfs, Writable: writable})
	}
	slices.SortFunc(list, func(a, b reconcile.Mount) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

// bury takes from a container without a process what an engine that was killed
// still says of it: an address that is another's by now, a health of before.
func bury(o *reconcile.Container) {
	for name, end := range o.Endpoints {
		end.IP = ""
		o.Endpoints[name] = end
	}
	if o.Health != reconcile.HealthNone {
		o.Health = reconcile.Unhealthy
	}
}

// aliases are sorted and without the short ID, which the engine adds and, up to
// API 1.44, shows.
func aliases(list []string, id string) []string {
	out := []string{}
	for _, a := range list {
		if len(a) < 12 || !strings.HasPrefix(id, a) {
			out = append(out, a)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0 // not a label of ours
	}
	return n
}

// moment is zero for what has not happened, and for what is no time.
func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// state of a container in a word that is not known here is Dead: nothing starts
// or counts on it.
func state(s container.ContainerState) reconcile.ContainerState {
	switch s {
	case container.StateCreated:
		return reconcile.Created
	case container.StateRunning:
		return reconcile.Running
	case container.StatePaused:
		return reconcile.Paused
	case container.StateRestarting:
		return reconcile.Restarting
	case container.StateRemoving:
		return reconcile.Removing
	case container.StateExited:
		return reconcile.Exited
	}
	return reconcile.Dead
}

func health(h *container.Health) reconcile.Health {
	if h == nil {
		return reconcile.HealthNone
	}
	switch h.Status {
	case container.Starting:
		return reconcile.HealthStarting
	case container.Healthy:
		return reconcile.Healthy
	case container.Unhealthy:
		return reconcile.Unhealthy
	}
	return reconcile.HealthNone
}
