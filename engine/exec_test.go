package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/reconcile"
)

func TestACommandInAContainerEndsAsItEnds(t *testing.T) {
	l := newLab(t)
	id := l.create(l.request(l.stack(), onNetworks("default"), "web-1"))
	l.start(id)
	for _, c := range []struct {
		name, how string
		command   []string
		code      int
		timedOut  bool
		says      string
	}{
		{"ends well", "0", []string{"/app", "hook"}, 0, false, ""},
		{"fails with its last words", "3", []string{"/app", "hook"}, 3, false, "sorry"},
		{"does not end", "never", []string{"/app", "hook"}, 0, true, "as told: never"},
		{"is no program", "", []string{"/nothing"}, 126, false, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := time.Minute
			if c.timedOut {
				limit = 2 * time.Second
			}
			err := l.engine.Run(t.Context(), id, reconcile.Hook{Phase: reconcile.HookPostStart, Timeout: limit, ServiceHook: types.ServiceHook{
				Command: c.command, Environment: types.MappingWithEquals{"HOOK": &c.how}}})
			var failed *reconcile.HookFailure
			if !errors.As(err, &failed) {
				if err != nil || c.code != 0 || c.timedOut {
					t.Fatalf("error %v", err)
				}
				return
			}
			if failed.ExitCode != c.code || (failed.TimedOut > 0) != c.timedOut || !strings.Contains(failed.Output, c.says) {
				t.Errorf("got %+v", failed)
			}
		})
	}
}

func TestAFirstContainerHasTheVolumesOfTheOneAfterItAndLeavesNothing(t *testing.T) {
	l := newLab(t)
	s := onNetworks("default", "other")
	s.Volumes = []types.ServiceVolumeConfig{{Type: types.VolumeTypeVolume, Target: "/store"}}
	r := l.request(l.stack(), s, "web-1")
	id := l.create(r)
	for _, c := range []struct {
		name, how string
		code      int
		timedOut  bool
	}{{"ends well", "0", 0, false}, {"fails", "3", 3, false}, {"does not end", "never", 0, true}, {"ends well again", "0", 0, false}} {
		t.Run(c.name, func(t *testing.T) {
			h := reconcile.Hook{Phase: reconcile.HookPreStart, Timeout: time.Minute}
			if c.timedOut {
				h.Timeout = 2 * time.Second
			}
			h.First.ContainerSpec = s.ContainerSpec
			h.First.Volumes = nil
			h.First.Command, h.First.Environment = types.ShellCommand{"hook"}, types.MappingWithEquals{"HOOK": &c.how}
			err := l.engine.RunFirst(t.Context(), id, r, h)
			var failed *reconcile.HookFailure
			if !errors.As(err, &failed) {
				if err != nil || c.code != 0 || c.timedOut {
					t.Fatalf("error %v", err)
				}
			} else if failed.ExitCode != c.code || (failed.TimedOut > 0) != c.timedOut || !strings.Contains(failed.Output, "as told: "+c.how) {
				t.Errorf("got %+v", failed)
			}
			o := observe(t, l.engine)
			for _, found := range o.Containers {
				if found.Stack == l.project && found.ID != id {
					t.Errorf("left over: %s", found.Name)
				}
			}
		})
	}
	if got := l.inspect(id).State.Status; got != "created" {
		t.Errorf("the container is %s", got)
	}
}
