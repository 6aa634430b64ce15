package compose

import (
	"errors"
	"fmt"

	"github.com/compose-spec/compose-go/v2/types"
)

// StandbyMode is how replaced containers are kept.
type StandbyMode int

const (
	// StandbyStopped: they are stopped, and start again for a return.
	StandbyStopped StandbyMode = iota
	// StandbyRunning: they run on, and nobody finds them.
	StandbyRunning
)

func (m StandbyMode) String() string { return [...]string{"stopped", "running"}[m] }

func standbyMode(into *StandbyMode) setter {
	return word(into, []StandbyMode{StandbyStopped, StandbyRunning})
}

// besideMistakes are why two sets of the service's replicas could not run side by side, where
// the file asks for that, and what means nothing to a set.
func (s ServiceSettings) besideMistakes(c types.ServiceConfig, b serviceBlock) []keyError {
	key, what := extension+".strategy", s.Strategy.String()
	switch {
	case s.Strategy == StrategyBlueGreen:
	case s.Standby == StandbyRunning:
		key, what = extension+".standby.mode", s.Standby.String()
	default:
		return nil
	}
	fail := func(format string, args ...any) []keyError { return []keyError{{key, fmt.Errorf(format, args...)}} }
	switch {
	case s.Strategy == StrategyRecreate:
		return fail("%s contradicts strategy recreate, which stops every replica before the first new one starts", what)
	case s.Update.Order == OrderStopFirst:
		return fail("%s contradicts order stop-first: both sets of replicas run at once", what)
	case c.ContainerName != "":
		return fail("%s is not possible with container_name: two containers cannot both be %s", what, c.ContainerName)
	case c.NetworkMode != "":
		return fail("%s is not possible with network_mode %s: there the service has no name that could pass from one set to the other", what, c.NetworkMode)
	case s.Strategy == StrategyBlueGreen && b.maxSurge != nil:
		return []keyError{{extension + ".max_surge", errAllAtOnce}}
	case s.Strategy == StrategyBlueGreen && b.maxUnavailable != nil:
		return []keyError{{extension + ".max_unavailable", errAllAtOnce}}
	}
	return nil
}

var errAllAtOnce = errors.New("has no effect with strategy blue-green: all replicas are replaced at once, and none is missing")

// remarkSets remarks on what u says of batches, of which blue-green has one.
func (s ServiceSettings) remarkSets(key string, u *types.UpdateConfig, remark func(key, text string)) {
	if s.Strategy != StrategyBlueGreen || u == nil {
		return
	}
	if u.Parallelism != nil {
		remark(key+".parallelism", errAllAtOnce.Error())
	}
	if u.Delay != 0 {
		remark(key+".delay", errAllAtOnce.Error())
	}
}
