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
