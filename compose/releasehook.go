package compose

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// Hooks are a service's commands for the phases of a release. Each is run in a
// container of its own, which is made like one of the service's.
type Hooks struct {
	// PreDeploy are run before anything of the service changes.
	PreDeploy []ReleaseHook
	// PostDeploy are run once all services of the release are in service.
	PostDeploy []ReleaseHook
	// OnFailure are run after a release that failed.
	OnFailure []ReleaseHook
}

// ReleaseHook is one of them. They are run one after another.
type ReleaseHook struct {
	// Run is the program and its arguments, in place of the image's entrypoint and
	// command.
	Run []string
	// Timeout is how long it may take from its start. Required.
	Timeout time.Duration
	// Irreversible is true when what it does cannot be undone: a failure after it pauses
	// and does not roll back.
	Irreversible bool
	// OnRollback is true when it is run for rollbacks, too.
	OnRollback bool
}

// Declared reports whether there is any.
func (h Hooks) Declared() bool { return len(h.PreDeploy)+len(h.PostDeploy)+len(h.OnFailure) > 0 }

// releaseHooks reads the block.
func releaseHooks(into *Hooks) setter {
	return func(v any) []keyError {
		return decodeBlock(v, nil, map[string]setter{
			"pre_deploy":  hookList(&into.PreDeploy, hookKeys),
			"post_deploy": hookList(&into.PostDeploy, hookKeys),
			"on_failure":  hookList(&into.OnFailure, failureHookKeys),
		})
	}
}

func hookList(into *[]ReleaseHook, keys func(*ReleaseHook) map[string]setter) setter {
	return func(v any) []keyError {
		list, ok := v.([]any)
		if !ok {
			return wrong("must be a list of commands: [{run: [/app, migrate], timeout: 5m}]")
		}
		var errs []keyError
		for i, entry := range list {
			var h ReleaseHook
			for _, e := range decodeHook(entry, keys(&h)) {
				at := fmt.Sprintf("[%d]", i)
				if e.key != "" {
					at += "." + e.key
				}
				errs = append(errs, keyError{at, e.err})
			}
			*into = append(*into, h)
		}
		return errs
	}
}

func hookKeys(h *ReleaseHook) map[string]setter {
	keys := failureHookKeys(h)
	keys["irreversible"] = truth(&h.Irreversible)
	return keys
}

func failureHookKeys(h *ReleaseHook) map[string]setter {
	return map[string]setter{
		"run": program(&h.Run), "timeout": duration(&h.Timeout, time.Second), "on_rollback": runOrSkip(&h.OnRollback),
	}
}

// decodeHook reads one hook, which is nothing without a command and a limit.
func decodeHook(value any, keys map[string]setter) []keyError {
	block, ok := value.(map[string]any)
	if !ok {
		return wrong("must be a mapping: {run: [/app, migrate], timeout: 5m}")
	}
	errs := decodeBlock(block, nil, keys)
	if _, given := block["run"]; !given {
		errs = append(errs, keyError{"run", errors.New("missing: the program and its arguments")})
	}
	if _, given := block["timeout"]; !given {
		errs = append(errs, keyError{"timeout", errors.New("missing: a command that never ends would hold the release up for ever")})
	}
	return errs
}

// program accepts a list of words. No shell takes one apart.
func program(into *[]string) setter {
	return func(v any) []keyError {
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return wrong("must be a list: the program and its arguments, such as [/app, migrate]")
		}
		var words []string
		for i, entry := range list {
			switch entry.(type) {
			case string, int, int64, uint64, float64, bool:
				words = append(words, fmt.Sprint(entry))
			default:
				return []keyError{{fmt.Sprintf("[%d]", i), errors.New("must be a word")}}
			}
		}
		if words[0] == "" {
			return wrong("must begin with a program")
		}
		*into = words
		return nil
	}
}

func runOrSkip(into *bool) setter {
	return func(v any) []keyError {
		switch v {
		case "run":
			*into = true
		case "skip":
			*into = false
		default:
			return wrong("must be run or skip, not %q", fmt.Sprint(v))
		}
		return nil
	}
}

// mistakes are what keeps hooks from having a container of their own beside the
// service's.
func (h Hooks) mistakes(c types.ServiceConfig) []keyError {
	if !h.Declared() {
		return nil
	}
	fail := func(format string, args ...any) []keyError {
		return []keyError{{extension + ".hooks", fmt.Errorf(format, args...)}}
	}
	for _, shared := range []struct{ key, value string }{{"network_mode", c.NetworkMode}, {"ipc", c.Ipc}, {"pid", c.Pid}} {
		if strings.HasPrefix(shared.value, types.ServicePrefix) {
			return fail("of a service with %s %s: %w", shared.key, shared.value, errUnsupported)
		}
	}
	if len(c.VolumesFrom) > 0 {
		return fail("of a service with volumes_from: %w", errUnsupported)
	}
	return nil
}

// hookRemarks are on hooks that are never run.
func (l *loading) hookRemarks(s Service) {
	if s.Settings.Hooks.Declared() && s.Replicas == 0 {
		l.note("services."+s.Name+"."+extension+".hooks", "no hook is run for a service without replicas")
	}
}
