package analysis

import (
	"fmt"
	"math"
	"time"

	"davit/compose"
	"davit/reconcile"
)

// By how much a release may always need more than the stable one: what idle containers
// use differs by more than half for no reason.
const (
	negligibleCores  = 0.05
	negligibleMemory = 16 << 20
)

// vitals follows the containers of both releases.
type vitals struct {
	// ends and killed count from a container's creation on.
	ends   map[string]*ends
	killed map[string]map[time.Time]bool
	usage  map[string]reconcile.Usage
	// alive is false where the last reading had no container of the new release; fresh and
	// stable are the most that one container used by then, NaN where nobody knows.
	alive         bool
	fresh, stable use
}

// use is what a container uses.
type use struct{ cores, memory float64 }

// ends is how often one container ended: as the engine counts now, and before it began
// to count anew.
type ends struct{ now, before int }

func newVitals() *vitals {
	return &vitals{ends: map[string]*ends{}, killed: map[string]map[time.Time]bool{}, usage: map[string]reconcile.Usage{}}
}

func (v *vitals) add(all []Container) {
	v.alive, v.fresh, v.stable = false, use{math.NaN(), math.NaN()}, use{math.NaN(), math.NaN()}
	for _, c := range all {
		of := &v.stable
		if c.New {
			of, v.alive = &v.fresh, true
			v.count(c)
		}
		v.used(c, of)
	}
}

// count adds up how often a container ended. One that a person stopped did not end by
// itself.
func (v *vitals) count(c Container) {
	e := v.ends[c.ID]
	if e == nil {
		e = &ends{}
		v.ends[c.ID] = e
	}
	now := c.Restarts
	if (c.State == reconcile.Exited || c.State == reconcile.Dead) && !c.StopByHand {
		now++
	}
	if now < e.now {
		e.before += e.now // somebody started it, and the engine began anew
	}
	e.now = now
	if c.OOMKilled {
		if v.killed[c.ID] == nil {
			v.killed[c.ID] = map[time.Time]bool{}
		}
		v.killed[c.ID][c.Finished.UTC()] = true
	}
}

// used raises of to what c uses, if that is more.
func (v *vitals) used(c Container, of *use) {
	now, before := c.Usage, v.usage[c.ID]
	v.usage[c.ID] = now
	if now.At.IsZero() {
		return
	}
	raise(&of.memory, float64(now.Memory))
	if past := now.At.Sub(before.At); !before.At.IsZero() && past > 0 && now.CPU >= before.CPU {
		raise(&of.cores, (now.CPU-before.CPU).Seconds()/past.Seconds())
	}
}

func raise(f *float64, to float64) {
	if math.IsNaN(*f) || to > *f {
		*f = to
	}
}

// judge rules on the last reading by m.
func (v *vitals) judge(m compose.Metric) standing {
	if !v.alive {
		return standing{scant, m.Name + ": no container of the new release is there"}
	}
	switch m.Kind {
	case compose.MetricRestarts:
		n := 0
		for _, e := range v.ends {
			n += e.now + e.before
		}
		return counted(m, n, fmt.Sprintf("containers of the new release restarted or ended %s", times(n, "time")))
	case compose.MetricOOMKills:
		n := 0
		for _, at := range v.killed {
			n += len(at)
		}
		return counted(m, n, fmt.Sprintf("containers of the new release were killed for lack of memory %s", times(n, "time")))
	case compose.MetricCPU:
		return amount{value: v.fresh.cores, stable: v.stable.cores, negligible: negligibleCores, what: "CPU", words: cores}.judge(m)
	}
	return amount{value: v.fresh.memory, stable: v.stable.memory, negligible: negligibleMemory, what: "memory", words: mebibytes}.judge(m)
}

func counted(m compose.Metric, n int, text string) standing {
	text = named(m, fmt.Sprintf("%s, limit %s", text, plain(*m.Max)))
	if float64(n) > *m.Max {
		return standing{bad, text}
	}
	return standing{good, text}
}

// amount is what the container of a release uses that uses most.
type amount struct {
	value, stable, negligible float64
	what                      string
	words                     func(float64) string
}

func (a amount) judge(m compose.Metric) standing {
	if math.IsNaN(a.value) {
		return standing{scant, m.Name + ": the engine does not say yet what the new release uses"}
	}
	most, text := math.Inf(1), fmt.Sprintf("%s %s", a.what, a.words(a.value))
	if m.Max != nil {
		most = *m.Max
	}
	if m.OverStable != nil {
		if math.IsNaN(a.stable) {
			return standing{scant, named(m, text+": nothing of the stable release runs to compare with")}
		}
		text += fmt.Sprintf(" against %s of the stable release", a.words(a.stable))
		most = min(most, max(a.stable*(1+*m.OverStable), a.stable+a.negligible))
	}
	text = named(m, fmt.Sprintf("%s, limit %s", text, a.words(most)))
	if a.value > most {
		return standing{bad, text}
	}
	return standing{good, text}
}

// judge rules on the answer to m's query.
func (a Answer) judge(m compose.Metric) standing {
	text := fmt.Sprintf("%s is %s", m.Name, plain(a.Value))
	switch {
	case a.None != "":
		return standing{scant, m.Name + ": " + a.None}
	case math.IsNaN(a.Value):
		return standing{scant, m.Name + ": the answer is not a number"}
	case m.Max != nil && a.Value > *m.Max:
		return standing{bad, fmt.Sprintf("%s, limit %s", text, plain(*m.Max))}
	case m.Min != nil && a.Value < *m.Min:
		return standing{bad, fmt.Sprintf("%s, at least %s is asked for", text, plain(*m.Min))}
	case math.IsInf(a.Value, 0):
		return standing{scant, m.Name + ": the answer is infinite"}
	}
	if m.Max != nil {
		return standing{good, fmt.Sprintf("%s, limit %s", text, plain(*m.Max))}
	}
	return standing{good, fmt.Sprintf("%s, at least %s is asked for", text, plain(*m.Min))}
}
