package compose

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Window is a time that comes again and again, in which new content may go in, or may
// not. It is plain data, so that it can be stored.
type Window struct {
	// Deny is true where new content waits inside, false where it waits outside.
	Deny bool
	// Cron is when it begins: five fields, or a word such as @daily, by the clocks of
	// Zone.
	Cron string
	// For is how long it lasts, by a stopwatch: an hour that clocks leave out or
	// repeat changes nothing about it.
	For time.Duration
	// Zone is the name of a time zone, "" for the host's own.
	Zone string
}

// Windows are the windows that one place has set. Without any, new content may always
// go in. With any that allows, only in one of those; and never in one that denies.
type Windows []Window

const (
	minWindow = time.Minute
	maxWindow = 366 * 24 * time.Hour
	maxCron   = 200 // bytes
)

// String is the window in one line, as it was written.
func (w Window) String() string {
	text := fmt.Sprintf("%s %q for %s", w.verb(), w.Cron, short(w.For))
	if w.Zone != "" {
		text += " " + w.Zone
	}
	return text
}

func (w Window) verb() string {
	if w.Deny {
		return "deny"
	}
	return "allow"
}

// DecodeWindow reads a window as it is written in YAML, strictly. The keys of its
// mistakes are those of the window's own block.
func DecodeWindow(value any) (Window, error) {
	var w Window
	var all []error
	for _, e := range window(&w)(value) {
		err := e.err
		if e.key != "" {
			err = fmt.Errorf("%s: %w", e.key, err)
		}
		all = append(all, err)
	}
	return w, errors.Join(all...)
}

// windows accepts a list of them.
func windows(into *Windows) setter {
	return func(v any) []keyError {
		list, ok := v.([]any)
		if !ok {
			return wrong("must be a list of windows, such as {allow: \"0 2 * * *\", for: 2h, timezone: Europe/Berlin}")
		}
		var errs []keyError
		*into = make(Windows, len(list))
		for i, entry := range list {
			for _, e := range window(&(*into)[i])(entry) {
				errs = append(errs, keyError{join(fmt.Sprintf("[%d]", i), e.key), e.err})
			}
		}
		return errs
	}
}

func window(into *Window) setter {
	return func(v any) []keyError {
		var allow, deny string
		errs := decodeBlock(v, nil, map[string]setter{
			"allow":    cronLine(&allow),
			"deny":     cronLine(&deny),
			"for":      duration(&into.For, minWindow),
			"timezone": zone(&into.Zone),
		})
		into.Deny, into.Cron = deny != "", allow+deny
		if len(errs) > 0 {
			return errs
		}
		switch {
		case (allow == "") == (deny == ""):
			return wrong("needs either allow or deny, a cron line")
		case into.For == 0:
			return wrong("needs for: how long it lasts")
		case into.For > maxWindow:
			return []keyError{{"for", fmt.Errorf("%s is longer than a year", into.For)}}
		}
		return nil
	}
}

func cronLine(into *string) setter {
	return func(v any) []keyError {
		line, ok := v.(string)
		line = strings.TrimSpace(line)
		if !ok || line == "" || len(line) > maxCron {
			return wrong("must be a cron line such as \"0 2 * * 1-5\", not %q", fmt.Sprint(v))
		}
		if strings.Contains(line, "TZ=") {
			return wrong("%q: the time zone belongs into timezone", line)
		}
		if _, err := schedule(line); err != nil {
			return wrong("%q is no cron line: %w", line, err)
		}
		*into = line
		return nil
	}
}

// schedule parses a cron line. One that counts from whenever it is asked says nothing
// of windows.
func schedule(line string) (*cron.SpecSchedule, error) {
	s, err := cron.ParseStandard(line)
	if err != nil {
		return nil, err
	}
	spec, ok := s.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("it does not say when the first one begins")
	}
	return spec, nil
}

func zone(into *string) setter {
	return func(v any) []keyError {
		name, ok := v.(string)
		if !ok || name == "" || name == "Local" {
			return wrong("must be the name of a time zone such as Europe/Berlin, not %q", fmt.Sprint(v))
		}
		if _, err := time.LoadLocation(name); err != nil {
			return wrong("there is no time zone %q", name)
		}
		*into = name
		return nil
	}
}

// withoutTimes is a project's block without its windows and drills: when something may go
// in is no part of what does, or a change of windows alone would wait for one. It is nil
// where it says nothing else.
func withoutTimes(block map[string]any) any {
	rest := maps.Clone(block)
	delete(rest, "windows")
	delete(rest, "drill")
	if len(rest) == 0 && len(block) > 0 {
		return nil
	}
	return rest
}
