package compose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// defaults are the settings of a service that says nothing.
func defaults(c types.ServiceConfig) ServiceSettings {
	s := ServiceSettings{
		StableFor:       5 * time.Second,
		StartTimeout:    2 * time.Minute,
		ProgressTimeout: 10 * time.Minute,
		StandbyFor:      30 * time.Minute,
		MinAvailable:    Amount{Value: 1},
		Update:          Rolling{MaxSurge: Amount{Value: 1}, Monitor: 10 * time.Second},
	}
	if checked(c) {
		s.StableFor = 0
	}
	return s
}

// checked reports whether the file gives the service a health check.
func checked(c types.ServiceConfig) bool {
	h := c.HealthCheck
	return h != nil && !h.Disable && len(h.Test) > 0 && h.Test[0] != "NONE"
}

// deployMistakes are the values in a service's update_config and rollback_config
// that are not known or not supported. The key is that below the service.
func deployMistakes(service map[string]any) []keyError {
	var errs []keyError
	for _, config := range []string{"update_config", "rollback_config"} {
		u := below(below(service, "deploy"), config)
		fail := func(key, format string, args ...any) {
			errs = append(errs, keyError{"deploy." + config + "." + key, fmt.Errorf(format, args...)})
		}
		switch action := u["failure_action"]; {
		case action == nil, action == "", action == "pause", action == "continue":
		case action == "rollback" && config == "rollback_config":
			fail("failure_action", "must be pause or continue: a rollback is never itself rolled back")
		case action == "rollback":
		default:
			fail("failure_action", "must be rollback, pause or continue, not %q", fmt.Sprint(action))
		}
		if ratio, ok := numeral(u["max_failure_ratio"]); ok && !(ratio >= 0 && ratio <= 1) {
			fail("max_failure_ratio", "must be from 0 to 1, not %v", ratio)
		}
		switch order := u["order"]; order {
		case nil, "", "start-first", "stop-first":
		default:
			fail("order", "must be start-first or stop-first, not %q", fmt.Sprint(order))
		}
		for _, key := range []string{"delay", "monitor"} {
			if strings.HasPrefix(fmt.Sprint(u[key]), "-") {
				fail(key, "must not be negative")
			}
		}
	}
	return errs
}

// serviceSettings joins what deploy and x-davit say about a service. remark is
// told each key of deploy that x-davit overrides.
// deploy is that of the service's file, which its config cannot tell a zero of from nothing.
func serviceSettings(c types.ServiceConfig, deploy map[string]any, b serviceBlock, remark func(key, text string)) (ServiceSettings, []keyError) {
	s := defaults(c)
	var update, rollback *types.UpdateConfig
	if c.Deploy != nil {
		update, rollback = c.Deploy.UpdateConfig, c.Deploy.RollbackConfig
	}
	s.Update.apply(update, below(deploy, "update_config"))
	s.Rollback = s.Update
	// A rollback that fails is not rolled back. It does not linger between batches, where
	// what it takes away serves, and it brings what was good: none of that may fail.
	s.Rollback.OnFailure, s.Rollback.Delay, s.Rollback.MaxFailureRatio = FailurePause, 0, 0
	s.Rollback.apply(rollback, below(deploy, "rollback_config"))
	b.over(&s)
	b.overrides("deploy.update_config", update, remark)
	b.overrides("deploy.rollback_config", rollback, remark)
	s.remarkSets("deploy.update_config", update, remark)
	s.remarkSets("deploy.rollback_config", rollback, remark)
	published := len(c.Ports)+len(b.ports) > 0
	return s, slices.Concat(s.contradictions(c.GetScale()), s.Probes.mistakes(c), s.Hooks.mistakes(c), s.canaryMistakes(published), s.analysisMistakes(published), s.besideMistakes(c, b))
}

// apply puts what u says into r, zeros too.
func (r *Rolling) apply(u *types.UpdateConfig, says map[string]any) {
	if u == nil {
		return
	}
	switch u.Order {
	case "start-first":
		r.Order = OrderStartFirst
		r.one()
	case "stop-first":
		r.Order = OrderStopFirst
		r.one()
	}
	if u.Parallelism != nil {
		batch := Amount{Value: int(min(*u.Parallelism, 10_000))}
		if batch.Value == 0 {
			batch = Amount{Value: 100, Percent: true}
		}
		r.MaxSurge, r.MaxUnavailable, r.Parallel = batch, Amount{}, batch
		if r.Order == OrderStopFirst {
			r.MaxSurge, r.MaxUnavailable = Amount{}, batch
		}
	}
	switch u.FailureAction {
	case "pause":
		r.OnFailure = FailurePause
	case "continue":
		r.OnFailure = FailureContinue
	}
	if says["delay"] != nil {
		r.Delay = time.Duration(u.Delay)
	}
	if says["monitor"] != nil {
		r.Monitor = time.Duration(u.Monitor)
	}
	if says["max_failure_ratio"] != nil {
		r.MaxFailureRatio = u.MaxFailureRatio
	}
}

// one makes it go replica by replica, in its order.
func (r *Rolling) one() {
	r.MaxSurge, r.MaxUnavailable = Amount{Value: 1}, Amount{}
	if r.Order == OrderStopFirst {
		r.MaxSurge, r.MaxUnavailable = Amount{}, Amount{Value: 1}
	}
}

// numeral is v as a number, if it is one: what is wrong with anything else the schema
// says.
func numeral(v any) (float64, bool) {
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	return n, err == nil
}

// over puts what the block says over s, for updates and rollbacks alike.
func (b serviceBlock) over(s *ServiceSettings) {
	s.Hooks, s.Healing = b.hooks, b.healing
	set(&s.Strategy, b.strategy)
	s.Canary, s.Analysis = b.canary, b.analysis
	set(&s.ConcurrentWriters, b.concurrentWriters)
	set(&s.AllowDataMove, b.allowDataMove)
	if s.Probes = b.probes; s.Probes.Declared() {
		s.StableFor = 0
	}
	set(&s.StableFor, b.stableFor)
	s.StableForSet = b.stableFor != nil
	set(&s.StartTimeout, b.startTimeout)
	set(&s.ProgressTimeout, b.progressTimeout)
	set(&s.StandbyFor, b.standbyFor)
	if s.Strategy == StrategyBlueGreen {
		s.Standby = StandbyRunning
	}
	set(&s.Standby, b.standby)
	set(&s.MinAvailable, b.minAvailable)
	s.MinAvailableSet = b.minAvailable != nil
	for _, r := range []*Rolling{&s.Update, &s.Rollback} {
		if b.order != nil {
			b.reorder(r)
		}
		if b.maxSurge != nil || b.maxUnavailable != nil {
			// Either wins over a batch as a whole, whichever of the two that was.
			r.Parallel = Amount{}
			r.one()
		}
		set(&r.MaxSurge, b.maxSurge)
		set(&r.MaxUnavailable, b.maxUnavailable)
		set(&r.Monitor, b.monitor)
	}
}

// reorder gives r the block's order. A batch that was meant for the other order
// keeps its size.
func (b serviceBlock) reorder(r *Rolling) {
	stop, stopped := *b.order == OrderStopFirst, r.Order == OrderStopFirst
	r.Order = *b.order
	if stop != stopped {
		r.MaxSurge, r.MaxUnavailable = r.MaxUnavailable, r.MaxSurge
	}
}

func set[T any](into *T, value *T) {
	if value != nil {
		*into = *value
	}
}

// overrides remarks on each key of u that the block says too.
func (b serviceBlock) overrides(key string, u *types.UpdateConfig, remark func(key, text string)) {
	if u == nil {
		return
	}
	say := func(k, by string) { remark(key+"."+k, extension+"."+by+" wins over this") }
	if b.order != nil && u.Order != "" {
		say("order", "order")
	}
	if b.monitor != nil && u.Monitor != 0 {
		say("monitor", "monitor")
	}
	if b.maxSurge != nil && u.Parallelism != nil {
		say("parallelism", "max_surge")
	}
	if b.maxUnavailable != nil && u.Parallelism != nil {
		say("parallelism", "max_unavailable")
	}
}

// contradictions are settings that leave nothing to be done.
func (s ServiceSettings) contradictions(replicas int) []keyError {
	errs := s.tooMany(replicas)
	if s.Strategy == StrategyRecreate {
		if s.Update.Order == OrderStartFirst {
			errs = append(errs, keyError{extension + ".order", fmt.Errorf("start-first contradicts strategy recreate")})
		}
		return errs
	}
	for _, r := range []Rolling{s.Update, s.Rollback} {
		if n := max(replicas, 1); r.MaxSurge.Up(n) == 0 && r.MaxUnavailable.Down(n) == 0 {
			errs = append(errs, keyError{extension, fmt.Errorf(
				"max_surge and max_unavailable both come to zero for %d replicas: nothing could ever be replaced", n)})
			break
		}
	}
	return errs
}

// tooMany are budgets that leave no replica to be replaced: more than there are, or
// all of them where each stops before its successor starts. A single replica that is
// replaced stop-first is announced, and exempt.
func (s ServiceSettings) tooMany(replicas int) []keyError {
	if !s.MinAvailableSet || replicas == 0 {
		return nil
	}
	floor, key := s.MinAvailable.Up(replicas), extension+".min_available"
	switch {
	case floor > replicas:
		return []keyError{{key, fmt.Errorf("%d of %d replicas can never be available", floor, replicas)}}
	case replicas == 1 || floor == 0:
	case s.Strategy == StrategyRecreate:
		return []keyError{{key, fmt.Errorf("contradicts strategy recreate, which stops all %d replicas", replicas)}}
	case floor == replicas && s.Update.Order == OrderStopFirst:
		return []keyError{{key, fmt.Errorf("leaves none of the %d replicas to be replaced, and each stops before its successor starts", replicas)}}
	case floor == replicas && s.Rollback.Order == OrderStopFirst:
		return []keyError{{key, fmt.Errorf("leaves none of the %d replicas to be rolled back, which rollback_config does stop-first", replicas)}}
	}
	return nil
}
