package compose

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
)

// extension is the one key by which a compose file speaks to davit.
const extension = "x-davit"

// keyError is a mistake at a key below a block.
type keyError struct {
	key string
	err error
}

// later are the keys of a service that are defined and that this version does not do.
var later = [...]string{"image"}

// serviceBlock is a service's x-davit block as written; nil is silence.
type serviceBlock struct {
	strategy          *Strategy
	canary            *Canary
	analysis          *Analysis
	order             *Order
	concurrentWriters *bool
	allowDataMove     *bool
	maxSurge          *Amount
	maxUnavailable    *Amount
	minAvailable      *Amount
	stableFor         *time.Duration
	startTimeout      *time.Duration
	progressTimeout   *time.Duration
	monitor           *time.Duration
	standbyFor        *time.Duration
	standby           *StandbyMode
	drainTimeout      *time.Duration
	drainStreams      *time.Duration
	ports             portBlocks
	probes            Probes
	healing           Healing
	hooks             Hooks
}

// decodeSettings reads a project's x-davit block, strictly, and fills defaults in.
func decodeSettings(value any) (Settings, []keyError) {
	s := Settings{Prune: true, ImageWait: 30 * time.Minute}
	errs := decodeBlock(value, nil, map[string]setter{
		"suspend":         truth(&s.Suspend),
		"prune":           truth(&s.Prune),
		"rollback":        scope(&s.Rollback),
		"drift":           drift(&s.Drift),
		"allow_data_move": truth(&s.AllowDataMove),
		"image_wait":      duration(&s.ImageWait, 0),
		"depends_on":      stackNames(&s.DependsOn),
		"windows":         windows(&s.Windows),
		"drill":           drill(&s.Drill),
	})
	return s, errs
}

func decodeServiceBlock(value any) (serviceBlock, []keyError) {
	var b serviceBlock
	errs := decodeBlock(value, later[:], map[string]setter{
		"strategy":           optional(&b.strategy, strategy),
		"canary":             canary(&b.canary),
		"analysis":           analysis(&b.analysis),
		"order":              optional(&b.order, order),
		"concurrent_writers": optional(&b.concurrentWriters, truth),
		"allow_data_move":    optional(&b.allowDataMove, truth),
		"max_surge":          optional(&b.maxSurge, amount),
		"max_unavailable":    optional(&b.maxUnavailable, amount),
		"min_available":      optional(&b.minAvailable, amount),
		"stable_for":         optional(&b.stableFor, atLeast(0)),
		"start_timeout":      optional(&b.startTimeout, atLeast(1)),
		"progress_timeout":   optional(&b.progressTimeout, atLeast(1)),
		"monitor":            optional(&b.monitor, atLeast(0)),
		"ports":              portSettings(&b.ports),
		"probes":             probes(&b.probes),
		"healing":            healing(&b.healing),
		"hooks":              releaseHooks(&b.hooks),
		"drain": func(v any) []keyError {
			return decodeBlock(v, nil, map[string]setter{"timeout": optional(&b.drainTimeout, atLeast(0)), "streams": optional(&b.drainStreams, atLeast(0))})
		},
		"standby": func(v any) []keyError {
			return decodeBlock(v, nil, map[string]setter{"for": optional(&b.standbyFor, atLeast(0)), "mode": optional(&b.standby, standbyMode)})
		},
	})
	return b, errs
}

// setter stores one value or says what is wrong with it.
type setter func(v any) []keyError

// decodeBlock gives each key of value to its setter. Every key without one is an
// error.
func decodeBlock(value any, later []string, known map[string]setter) []keyError {
	if value == nil {
		return nil
	}
	block, ok := value.(map[string]any)
	if !ok {
		return []keyError{{err: errors.New("must be a mapping")}}
	}
	var errs []keyError
	for _, key := range slices.Sorted(maps.Keys(block)) {
		set, ok := known[key]
		switch {
		case ok:
			for _, e := range set(block[key]) {
				if e.key != "" && !strings.HasPrefix(e.key, "[") {
					e.key = "." + e.key
				}
				errs = append(errs, keyError{key + e.key, e.err})
			}
		case slices.Contains(later, key):
			errs = append(errs, keyError{key, errUnsupported})
		default:
			names := slices.Sorted(maps.Keys(known))
			errs = append(errs, keyError{key, fmt.Errorf("unknown key: there are %s", strings.Join(names, ", "))})
		}
	}
	return errs
}

func wrong(format string, args ...any) []keyError {
	return []keyError{{err: fmt.Errorf(format, args...)}}
}

// optional makes a setter of T one of *T.
func optional[T any](into **T, with func(*T) setter) setter {
	return func(v any) []keyError {
		var t T
		errs := with(&t)(v)
		if len(errs) == 0 {
			*into = &t
		}
		return errs
	}
}

func truth(into *bool) setter {
	return func(v any) []keyError {
		switch v {
		case true, "true":
			*into = true
		case false, "false":
			*into = false
		default:
			return wrong("must be true or false, not %q", fmt.Sprint(v))
		}
		return nil
	}
}

// stackNames accepts a list of stacks.
func stackNames(into *[]string) setter {
	return func(v any) []keyError {
		list, ok := v.([]any)
		if !ok {
			return wrong("must be a list of stack names")
		}
		var errs []keyError
		names := make([]string, len(list))
		for i, entry := range list {
			name, err := stackName(entry)
			if err != nil {
				errs = append(errs, keyError{fmt.Sprintf("[%d]", i), err})
			}
			names[i] = name
		}
		*into = names
		return errs
	}
}

// stackName is a name as Compose allows it.
func stackName(v any) (string, error) {
	name, ok := v.(string)
	if !ok || name == "" || loader.NormalizeProjectName(name) != name {
		return "", fmt.Errorf("%q is no stack name: it has lower-case letters, digits, dashes and underscores, and begins with a letter or digit", fmt.Sprint(v))
	}
	return name, nil
}

func strategy(into *Strategy) setter {
	return word(into, []Strategy{StrategyRolling, StrategyRecreate, StrategyCanary, StrategyBlueGreen})
}

func order(into *Order) setter {
	return word(into, []Order{OrderAuto, OrderStartFirst, OrderStopFirst})
}

func scope(into *RollbackScope) setter {
	return word(into, []RollbackScope{RollbackStack, RollbackService, RollbackNone}, "stack-with-data")
}

// drift is a word, of which some readers of YAML make a boolean.
func drift(into *Drift) setter {
	return func(v any) []keyError {
		if v == false {
			v = DriftOff.String()
		}
		return word(into, []Drift{DriftCorrect, DriftWarn, DriftOff})(v)
	}
}

// word accepts the names of the values of an enum.
func word[T fmt.Stringer](into *T, values []T, later ...string) setter {
	return func(v any) []keyError {
		var names []string
		for _, value := range values {
			if value.String() == v {
				*into = value
				return nil
			}
			names = append(names, value.String())
		}
		if s, ok := v.(string); ok && slices.Contains(later, s) {
			return wrong("%s: %w", s, errUnsupported)
		}
		return wrong("must be one of %s, not %q", strings.Join(names, ", "), fmt.Sprint(v))
	}
}

func atLeast(low time.Duration) func(*time.Duration) setter {
	return func(into *time.Duration) setter { return duration(into, low) }
}

// maxDuration is more than anybody means and far from overflowing.
const maxDuration = 100 * 365 * 24 * time.Hour

// duration accepts Go's notation and bare seconds.
func duration(into *time.Duration, low time.Duration) setter {
	return func(v any) []keyError {
		d, ok := parseDuration(v)
		if !ok {
			return wrong("must be a duration such as 30s or 5m, or a number of seconds, not %q", fmt.Sprint(v))
		}
		if d < low || d > maxDuration {
			return wrong("%v is out of range", d)
		}
		*into = d
		return nil
	}
}

func parseDuration(v any) (time.Duration, bool) {
	seconds := math.NaN()
	switch v := v.(type) {
	case int:
		seconds = float64(v)
	case int64:
		seconds = float64(v)
	case float64:
		seconds = v
	case string:
		if d, err := time.ParseDuration(v); err == nil {
			return d, true
		}
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			seconds = f
		}
	}
	if math.IsNaN(seconds) || math.Abs(seconds) > 2*maxDuration.Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// amount accepts a number or a percentage.
func amount(into *Amount) setter {
	return func(v any) []keyError {
		digits, percent := strings.CutSuffix(fmt.Sprint(v), "%")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 0 || n > 10_000 {
			return wrong("must be a number of replicas or a percentage such as 25%%, not %q", fmt.Sprint(v))
		}
		*into = Amount{Value: n, Percent: percent}
		return nil
	}
}
