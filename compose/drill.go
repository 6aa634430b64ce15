package compose

import (
	"fmt"
	"time"
)

// Drill is what a stack says of its rehearsals of a rollback. It is plain data, so that
// it can be stored.
type Drill struct {
	// Cron is when one is held: five fields, or a word such as @monthly, by the clocks of
	// Zone; "" for only when an operator says so.
	Cron string
	// Zone is the name of a time zone, "" for the host's own.
	Zone string
	// DataCompatible says that the earlier release can work with the data that the current
	// one writes, and the other way round.
	DataCompatible bool
	// Gaps says that services which cannot run twice may be away for a moment, twice.
	Gaps bool
}

// Next is when the first drill after that moment is due; zero where none ever is.
func (d Drill) Next(after time.Time) (time.Time, error) {
	if d.Cron == "" {
		return time.Time{}, nil
	}
	r, err := recurring(d.Cron, d.Zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("read when a drill is due: %w", err)
	}
	return r.begin(after), nil
}

// String is the schedule in one line, as it was written.
func (d Drill) String() string {
	if d.Zone == "" {
		return d.Cron
	}
	return d.Cron + " " + d.Zone
}

// drill accepts a drill block.
func drill(into *Drill) setter {
	return func(v any) []keyError {
		errs := decodeBlock(v, nil, map[string]setter{
			"schedule":        cronLine(&into.Cron),
			"timezone":        zone(&into.Zone),
			"data_compatible": truth(&into.DataCompatible),
			"gaps":            truth(&into.Gaps),
		})
		if len(errs) == 0 && into.Cron == "" && into.Zone != "" {
			return wrong("has a timezone and no schedule, a cron line such as \"0 4 1 * *\"")
		}
		return errs
	}
}

// drillRemarks are on schedules that do not do what somebody must have meant by them.
func (l *loading) drillRemarks(d Drill) {
	switch next, err := d.Next(beginning()); {
	case d.Cron == "":
	case err != nil:
		l.note(extension+".drill.schedule", err.Error())
	case next.IsZero():
		l.note(extension+".drill.schedule", "it is never due: there is no such date")
	}
}
