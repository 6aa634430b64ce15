package compose

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Canary is how StrategyCanary hands traffic over: a share at a time, while the
// containers of the release before stay as many as they are.
type Canary struct {
	// Replicas is how many containers of the new release there are before its last step;
	// percentages are of the declared number and round up. Default: each step's weight as
	// a percentage.
	Replicas *Amount
	// Steps rise, and the last one is of 100 percent, whether it is written or not.
	Steps []CanaryStep
	// Promotion is who takes the last step. Default PromotionAutomatic.
	Promotion Promotion
	// Match are the requests that get the new release whatever the weights say, if they
	// meet any of them; each step has its containers for them.
	Match []Match
	// Analysis judges it while a step is held. Default nil: only time does.
	Analysis *Analysis
}

// CanaryStep is a share of what is new, and for how long it stays that.
type CanaryStep struct {
	// Weight is in percent, from 1 to 100.
	Weight int
	// Hold is how long the weight stays before the next step. Default 0; that of 100
	// percent has none, since Rolling.Monitor watches what is in service.
	Hold time.Duration
}

// Crew is how many of a service's replicas a step of this weight takes.
func (c Canary) Crew(weight, replicas int) int {
	n := Amount{Value: weight, Percent: true}.Up(replicas)
	if c.Replicas != nil && weight < 100 {
		n = c.Replicas.Up(replicas)
	}
	return min(max(n, 1), replicas)
}

// Promotion is who says that a canary gets all the traffic.
type Promotion int

const (
	// PromotionAutomatic: the last step comes when those before it are over.
	PromotionAutomatic Promotion = iota
	// PromotionManual: an operator takes it.
	PromotionManual
)

func (p Promotion) String() string { return [...]string{"automatic", "manual"}[p] }

// canary accepts a canary block.
func canary(into **Canary) setter {
	return func(v any) []keyError {
		var c Canary
		errs := decodeBlock(v, nil, map[string]setter{
			"analysis":  analysis(&c.Analysis),
			"match":     matches(&c.Match),
			"replicas":  optional(&c.Replicas, amount),
			"steps":     canarySteps(&c.Steps),
			"promotion": word(&c.Promotion, []Promotion{PromotionAutomatic, PromotionManual}),
		})
		if len(errs) == 0 && len(c.Steps) == 0 {
			errs = wrong("needs steps such as [{weight: 5, hold: 2m}, {weight: 30, hold: 5m}]")
		}
		if len(errs) == 0 && c.Replicas != nil && c.Replicas.Value == 0 {
			errs = []keyError{{"replicas", errors.New("must be at least 1: without a container there is nothing to hand traffic to")}}
		}
		*into = &c
		return errs
	}
}

// maxSteps is more than anybody waits for.
const maxSteps = 100

func canarySteps(into *[]CanaryStep) setter {
	return func(v any) []keyError {
		list, ok := v.([]any)
		if !ok || len(list) == 0 || len(list) > maxSteps {
			return wrong("must be a list of 1 to %d steps such as {weight: 5, hold: 2m}", maxSteps)
		}
		var out []CanaryStep
		var errs []keyError
		for i, entry := range list {
			var s CanaryStep
			at := fmt.Sprintf("[%d]", i)
			wrongs := decodeBlock(entry, nil, map[string]setter{"weight": percentage(&s.Weight), "hold": duration(&s.Hold, 0)})
			switch {
			case len(wrongs) > 0:
			case s.Weight == 0:
				wrongs = wrong("needs a weight from 1 to 100")
			case len(out) > 0 && s.Weight <= out[len(out)-1].Weight:
				wrongs = []keyError{{"weight", fmt.Errorf("%d is not more than the step before: abort takes weight back", s.Weight)}}
			case s.Weight == 100 && s.Hold > 0:
				wrongs = []keyError{{"hold", errors.New("nothing is held at 100 percent: monitor watches what is in service")}}
			}
			for _, e := range wrongs {
				errs = append(errs, keyError{strings.TrimSuffix(at+"."+e.key, "."), e.err})
			}
			out = append(out, s)
		}
		*into = out
		return errs
	}
}

// percentage accepts a number from 1 to 100, with or without its sign.
func percentage(into *int) setter {
	return func(v any) []keyError {
		n, err := strconv.Atoi(strings.TrimSuffix(fmt.Sprint(v), "%"))
		if err != nil || n < 1 || n > 100 {
			return wrong("must be a percentage from 1 to 100, not %q", fmt.Sprint(v))
		}
		*into = n
		return nil
	}
}

// canaryMistakes are what a canary of a service could not keep. Published says whether it
// has ports at which there is something to share out.
func (s ServiceSettings) canaryMistakes(published bool) []keyError {
	switch {
	case s.Strategy != StrategyCanary && s.Canary != nil:
		return []keyError{{extension + ".canary", errors.New("has no effect without strategy: canary")}}
	case s.Strategy != StrategyCanary:
		return nil
	case s.Canary == nil:
		return []keyError{{extension + ".strategy", errors.New("canary needs x-davit.canary with its steps")}}
	case s.Update.Order == OrderStopFirst:
		return []keyError{{extension + ".strategy", errors.New("canary contradicts order stop-first: both releases serve at once")}}
	case !published:
		return []keyError{{extension + ".strategy", errors.New(
			"canary shares out what comes to published ports, and this service publishes none: nobody could weigh its callers")}}
	}
	return nil
}
