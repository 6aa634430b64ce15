package enginetest

import (
	"time"

	"davit/reconcile"
)

// Behaviour is what the containers of an image do once they run. The zero value
// runs for ever, has no health check and ends at once when asked to.
type Behaviour struct {
	// Healthcheck is true when the image itself declares one. A service's own
	// health check counts as well.
	Healthcheck bool
	// HealthyAfter is the time from start to the first success of the health check.
	HealthyAfter time.Duration
	// CheckedEvery is how often the engine runs that, the first time so long after the
	// start; 0 for all the time.
	CheckedEvery time.Duration
	// Sick containers never become healthy: they are starting, and unhealthy
	// from UnhealthyAfter on, if that is not 0.
	Sick bool
	// UnhealthyAfter is the time from healthy (from the start, if Sick) to
	// unhealthy; 0 for never.
	UnhealthyAfter time.Duration

	// AnswersAfter is the time from start to the first probe over the network that
	// succeeds, MuteAfter that to the first which fails again; 0 for never.
	AnswersAfter, MuteAfter time.Duration

	// Errors is the part of its requests that a container fails, from the one after
	// ErrorsFrom on; all of them while it is unhealthy or mute. Latency is what each takes.
	Errors     float64
	ErrorsFrom int
	Latency    time.Duration
	// DiesAt is the request, counted from its start, at which the process ends by itself,
	// with ExitCode or, if OOM, for lack of memory; 0 for none.
	DiesAt int

	// Exits says that the process ends by itself after ExitAfter with ExitCode.
	Exits     bool
	ExitAfter time.Duration
	ExitCode  int
	// OOM makes that end a kill for lack of memory, with code 137.
	OOM bool

	// StartFails is the engine's error when the process cannot be started.
	StartFails string
	// IgnoresTERM makes a stop last for the whole grace period.
	IgnoresTERM bool
	// StopTakes is the time from the stop signal to the end otherwise.
	StopTakes time.Duration

	// Volumes are the paths of the image's VOLUME instructions.
	Volumes []string
	// Platform is what the image is made for, os/arch[/variant]; "" says nothing.
	Platform string
	// Hooks are the exit codes of the commands that are run in it; 0 for others.
	Hooks map[reconcile.HookPhase]int
	// Cores is how many cores the process keeps busy, Memory how many bytes it has.
	Cores  float64
	Memory int64
	// HooksTake is the time that the hooks of a release take, in containers of their
	// own; HooksHang is true for those that never end by themselves.
	HooksTake time.Duration
	HooksHang bool
	// Log is what the process writes.
	Log string
}

// hook is what a container of the image does that a hook of a release is run in.
func (b Behaviour) hook(m reconcile.HookMark) Behaviour {
	return Behaviour{
		Exits: !b.HooksHang, ExitAfter: b.HooksTake, ExitCode: b.Hooks[m.Phase], IgnoresTERM: b.IgnoresTERM, StopTakes: b.StopTakes,
		Volumes: b.Volumes, Platform: b.Platform, Log: b.Log,
	}
}
