package compose

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// maxExcess is how many percent more than the stable release a new one may need: who
// allows more than a hundredfold does not mean to compare.
const maxExcess = 10_000

// between accepts a duration from low to high.
func between(into *time.Duration, low, high time.Duration) setter {
	return func(v any) []keyError {
		errs := duration(into, low)(v)
		if len(errs) == 0 && *into > high {
			return wrong("%v is out of range: at most %v", *into, high)
		}
		return errs
	}
}

// share accepts a percentage from 0 to most. A bare number could mean either a percentage
// or a part of one, and is none but for 0.
func share(into **float64, most float64) setter {
	return func(v any) []keyError {
		text := fmt.Sprint(v)
		digits, percent := strings.CutSuffix(text, "%")
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil || !percent && f != 0 || !(f >= 0 && f <= most) {
			return wrong("must be a percentage such as 1%% or 0.5%%, at most %g%%, not %q", most, text)
		}
		f /= 100
		*into = &f
		return nil
	}
}

// latency accepts a duration, and stores seconds.
func latency(into **float64) setter {
	return func(v any) []keyError {
		var d time.Duration
		errs := between(&d, time.Millisecond, time.Hour)(v)
		if len(errs) == 0 {
			seconds := d.Seconds()
			*into = &seconds
		}
		return errs
	}
}

// byteSize accepts a number of bytes as Compose writes it: 400m, 1.5GiB.
func byteSize(into **float64) setter {
	return func(v any) []keyError {
		var bytes types.UnitBytes
		if err := bytes.DecodeMapstructure(fmt.Sprint(v)); err != nil || bytes <= 0 {
			return wrong("must be a size such as 400MiB, not %q", fmt.Sprint(v))
		}
		f := float64(bytes)
		*into = &f
		return nil
	}
}

// number accepts any number that is not less than low.
func number(into **float64, low float64) setter {
	return func(v any) []keyError {
		f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || f < low {
			return wrong("must be a number%s, not %q", map[bool]string{true: " of at least 0"}[low == 0], fmt.Sprint(v))
		}
		*into = &f
		return nil
	}
}

// tolerated accepts how many may fail.
func tolerated(into *int) setter {
	return func(v any) []keyError {
		n, err := strconv.Atoi(fmt.Sprint(v))
		if err != nil || n < 0 || n > 1_000_000 {
			return wrong("must be a number from 0 to 1000000, not %q", fmt.Sprint(v))
		}
		*into = n
		return nil
	}
}

// plainName is how a metric, or a server of the host's configuration, may be called.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$`)

func metricName(into *string) setter {
	return func(v any) []keyError {
		name, ok := v.(string)
		if !ok || !plainName.MatchString(name) {
			return wrong("must be up to 40 letters, digits, dashes and underscores, not %q", fmt.Sprint(v))
		}
		*into = name
		return nil
	}
}

// PrometheusName is how a host's configuration may name a Prometheus server.
var PrometheusName = BalancerName

// serverName accepts a name and no address: whoever may write to a repository must not
// have the agent knock at any door of the host's networks.
func serverName(into *string) setter {
	return func(v any) []keyError {
		name, ok := v.(string)
		if !ok || !PrometheusName.MatchString(name) {
			return wrong("must be the name of a server under prometheus in the host's configuration, not %q", fmt.Sprint(v))
		}
		*into = name
		return nil
	}
}

// maxQuery is far more than a query that anybody understands.
const maxQuery = 8 << 10

// placeholder is what a query may have filled in.
var placeholder = regexp.MustCompile(`\{\{[^{}]*\}\}`)

// QueryWords are the placeholders of a query, {{release}} and so on: the stack, the
// service, and the number of the new release, as the containers' labels have them; after
// a rollout that was cut off it may be two, as 7|8.
func QueryWords() []string { return []string{"stack", "service", "release"} }

func query(into *string) setter {
	return func(v any) []keyError {
		text, ok := v.(string)
		if text = strings.TrimSpace(text); !ok || text == "" || len(text) > maxQuery {
			return wrong("must be a query in PromQL of at most %d bytes", maxQuery)
		}
		for _, p := range placeholder.FindAllString(text, -1) {
			if word := strings.TrimSpace(strings.Trim(p, "{}")); !slices.Contains(QueryWords(), word) {
				return wrong("unknown placeholder %s: there are {{%s}}", p, strings.Join(QueryWords(), "}}, {{"))
			}
		}
		*into = text
		return nil
	}
}

// Asked is the query with its placeholders filled in by values, which say what a word
// stands for.
func (m Metric) Asked(values func(word string) string) string {
	return placeholder.ReplaceAllStringFunc(m.Query, func(p string) string {
		return values(strings.TrimSpace(strings.Trim(p, "{}")))
	})
}
