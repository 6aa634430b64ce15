package reconcile

import (
	"errors"
	"fmt"
	"time"
)

// Waiting is the outcome of a pass that cannot go on yet and will, without
// anybody's help, once the world has changed: an image that is not pushed, a
// registry that is down. It is retried with backoff.
type Waiting struct {
	// After is the earliest moment worth a retry; 0 lets the loop back off.
	After  time.Duration
	Reason string
	Err    error
}

func (w *Waiting) Error() string { return sentence(w.Reason, w.Err) }
func (w *Waiting) Unwrap() error { return w.Err }

// Stalled is the outcome of a pass that only a human or a new revision can help.
type Stalled struct {
	// After is the earliest moment worth a retry; 0 lets the loop back off.
	After  time.Duration
	Reason string
	Err    error
}

func (s *Stalled) Error() string { return sentence(s.Reason, s.Err) }
func (s *Stalled) Unwrap() error { return s.Err }

// HookFailure is a command that ran in a container and failed.
type HookFailure struct {
	ExitCode int
	// TimedOut is how long it was waited for in vain; 0 when it ended.
	TimedOut time.Duration
	// Vanished is true when its container was removed before it had ended.
	Vanished bool
	// Stopped is by what it may have been stopped though it ended with code 0; "" for nothing.
	Stopped string
	// Output is the end of what it printed.
	Output string
}

func (f *HookFailure) Error() string {
	text := fmt.Sprintf("exited with code %d", f.ExitCode)
	if f.TimedOut > 0 {
		text = "did not end within " + brief(f.TimedOut)
	}
	if f.Vanished {
		text = "its container was removed before it had ended"
	}
	if f.Stopped != "" {
		text = "ended with code 0, but " + f.Stopped
	}
	if f.Output != "" {
		text += ": " + f.Output
	}
	return text
}

// BuildFailure is a build that failed: the Dockerfile's fault, most likely.
type BuildFailure struct {
	// Tag is the build's.
	Tag string
	// Output is the end of what it printed.
	Output string
	Err    error
}

func (f *BuildFailure) Error() string { return f.Err.Error() }
func (f *BuildFailure) Unwrap() error { return f.Err }

// Any other error is retried with exponential backoff and full jitter.

func sentence(reason string, err error) string {
	switch {
	case err == nil:
		return reason
	case reason == "":
		return err.Error()
	}
	return reason + ": " + err.Error()
}

// Hinted is an error that tells its reader what to do about it.
type Hinted struct {
	Err  error
	Hint string
}

func (h *Hinted) Error() string { return h.Err.Error() }
func (h *Hinted) Unwrap() error { return h.Err }

// WithHint attaches a hint to err; a nil err stays nil.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Hinted{Err: err, Hint: fmt.Sprintf(format, args...)}
}

// Hint is the outermost hint that err carries, or "".
func Hint(err error) string {
	var h *Hinted
	if errors.As(err, &h) {
		return h.Hint
	}
	return ""
}

// Explanation is what err says, with its hint.
func Explanation(err error) string {
	if hint := Hint(err); hint != "" {
		return err.Error() + " (" + hint + ")"
	}
	return err.Error()
}

// What adapters report so that the loop can tell one failure from another.
var (
	// ErrImageMissing: the engine, or the registry, answered that it does not
	// have the image.
	ErrImageMissing = errors.New("image not found")
	// ErrRegistryDenied: the registry refused the credentials, or wants some.
	ErrRegistryDenied = errors.New("registry denied access")
	// ErrRegistryUnavailable: the registry did not answer, or not sensibly.
	ErrRegistryUnavailable = errors.New("registry unavailable")
	// ErrContainerMissing: the container is gone.
	ErrContainerMissing = errors.New("container not found")
	// ErrEngineUnavailable: the engine did not answer.
	ErrEngineUnavailable = errors.New("container engine unavailable")
	// ErrDiskFull: there is no room for the state or for what a step writes.
	ErrDiskFull = errors.New("disk full")
)
