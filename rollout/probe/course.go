package probe

import (
	"time"

	"davit/compose"
)

// Answer is what one look at a container found.
type Answer struct {
	OK bool
	// Output says in one line what was seen.
	Output string
	// Lingers is true when the look goes on in the container though its time is up, as a
	// command does that nobody can end. Another is not begun early then.
	Lingers bool
}

// Verdict is what a probe says of a container.
type Verdict int

const (
	// Pending: too few looks to say.
	Pending Verdict = iota
	Passing
	Failing
)

func (v Verdict) String() string { return [...]string{"pending", "passing", "failing"}[v] }

// The pauses between looks at a container that has never answered well: it is as a rule
// about to, and an interval of ten seconds would have everybody wait.
const (
	eagerMin = 50 * time.Millisecond
	eagerMax = 500 * time.Millisecond
)

// course is what one probe has seen of one container since its start. It has no clock.
type course struct {
	probe   *compose.Probe
	started time.Time
	verdict Verdict
	// good and bad are the looks in a row that count. A success always does; a failure
	// only once an interval has passed since the last one: looks that are made early for
	// the sake of a success do not bring the end nearer.
	good, bad int
	counted   time.Time
	// last is when the last look began, and eager the pause after it.
	last  time.Time
	eager time.Duration
	// answered is true once a look has succeeded.
	answered bool
	// lingers is the last answer's.
	lingers bool
	// calm is true where no look is made early.
	calm   bool
	output string
}

// begun is a course for a container that started at that time; p may be nil.
func begun(p *compose.Probe, started time.Time) course {
	return course{probe: p, started: started, eager: eagerMin}
}

// due is when the next look is to begin.
func (c *course) due() time.Time {
	next := c.last.Add(c.probe.Interval)
	switch {
	case c.last.IsZero():
		return c.started.Add(c.probe.InitialDelay)
	case c.answered, c.lingers, c.calm:
		return next
	case !c.counted.IsZero():
		next = c.counted.Add(c.probe.Interval)
	}
	if early := c.last.Add(c.eager); early.Before(next) {
		return early
	}
	return next
}

// pass over a look that was begun at that time and came to nothing.
func (c *course) pass(at time.Time) {
	c.last = at
	c.eager = min(c.eager*5/4, eagerMax)
}

// take an answer into account, to the look that was begun at that time.
func (c *course) take(at time.Time, a Answer) {
	counts := c.answered || c.counted.IsZero() || !at.Before(c.counted.Add(c.probe.Interval))
	c.pass(at)
	c.lingers = a.Lingers
	switch {
	case a.OK:
		c.answered, c.output = true, ""
		c.counted = at
		c.good, c.bad = c.good+1, 0
	case counts:
		c.output = a.Output
		c.counted = at
		c.good, c.bad = 0, c.bad+1
	default:
		c.output = a.Output
	}
	switch {
	case c.good >= c.probe.Success:
		c.verdict = Passing
	case c.bad >= c.probe.Failure:
		c.verdict = Failing
	}
}
