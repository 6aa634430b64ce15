package analysis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"davit/compose"
	"davit/reconcile"
)

// session asks the sources for one analysis.
type session struct {
	*Analyst
	reconcile.Comparison
	needs needs
	// releases made the new containers; nil before they are known.
	releases []int64
}

// needs are the sources that metrics take.
type needs struct{ edge, engine, usage, queries bool }

func needed(metrics []compose.Metric) (n needs) {
	for _, m := range metrics {
		switch m.Kind {
		case compose.MetricErrorRate, compose.MetricP99:
			n.edge = true
		case compose.MetricPrometheus:
			n.queries = true
		case compose.MetricCPU, compose.MetricMemory:
			n.engine, n.usage = true, true
		default:
			n.engine = true
		}
	}
	return n
}

// read asks all sources that are needed, at the same time.
func (s *session) read(ctx context.Context) Reading {
	ctx, cancel := context.WithTimeout(ctx, readingLimit)
	defer cancel()
	r := Reading{At: time.Now()}
	unknown := s.identify(ctx)
	var asked sync.WaitGroup
	if s.needs.edge {
		asked.Go(func() { r.Edges, r.EdgeErr = s.counts(ctx, unknown) })
	}
	if s.needs.engine {
		asked.Go(func() { r.Containers, r.EngineErr = s.containers(ctx) })
	}
	if s.needs.queries {
		asked.Go(func() { r.Answers = s.answers(ctx, unknown) })
	}
	asked.Wait()
	return r
}

// identify finds out once which releases made the new containers: it may be more than
// one, after a rollout that was cut off.
func (s *session) identify(ctx context.Context) error {
	if s.releases != nil || !s.needs.edge && !s.needs.queries {
		return nil
	}
	var releases []int64
	for _, id := range s.New {
		c, err := s.Engine.Inspect(ctx, id)
		if errors.Is(err, reconcile.ErrContainerMissing) {
			continue
		}
		if err != nil {
			return fmt.Errorf("find out what is new: %w", err)
		}
		releases = append(releases, c.Release)
	}
	if len(releases) == 0 {
		return errors.New("find out what is new: no container of the new release is there")
	}
	slices.Sort(releases)
	s.releases = slices.Compact(releases)
	return nil
}

func (s *session) counts(ctx context.Context, unknown error) ([]EdgeCounts, error) {
	if unknown != nil {
		return nil, unknown
	}
	if s.Edge == nil {
		return nil, errors.New("there is no edge that counts requests")
	}
	counts, err := s.Edge.Counts(ctx, s.Stack, s.Service, s.releases)
	if err != nil {
		return nil, fmt.Errorf("ask the edge what it counted: %w", err)
	}
	return counts, nil
}

// containers are those of both sides that are there.
func (s *session) containers(ctx context.Context) (out []Container, err error) {
	for _, id := range slices.Concat(s.New, s.Stable) {
		c := Container{New: slices.Contains(s.New, id)}
		c.Container, err = s.Engine.Inspect(ctx, id)
		if err == nil && s.needs.usage {
			c.Usage, err = s.Engine.Usage(ctx, id)
		}
		switch {
		case err == nil:
			out = append(out, c)
		case !errors.Is(err, reconcile.ErrContainerMissing):
			return nil, err
		}
	}
	return out, nil
}

// answers are those to every query of the analysis.
func (s *session) answers(ctx context.Context, unknown error) map[string]Answer {
	out := map[string]Answer{}
	var mu sync.Mutex
	var asked sync.WaitGroup
	free := make(chan struct{}, questions)
	for _, m := range s.Analysis.Metrics {
		if m.Kind != compose.MetricPrometheus {
			continue
		}
		asked.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			answer := Answer{Err: unknown}
			if unknown == nil {
				answer = s.Queries.Ask(ctx, m.Server, m.Asked(s.word))
			}
			mu.Lock()
			defer mu.Unlock()
			out[m.Name] = answer
		})
	}
	asked.Wait()
	return out
}

// word is what a placeholder of a query stands for.
func (s *session) word(placeholder string) string {
	switch placeholder {
	case "stack":
		return s.Stack
	case "service":
		return s.Service
	}
	var releases []string
	for _, seq := range s.releases {
		releases = append(releases, strconv.FormatInt(seq, 10))
	}
	return strings.Join(releases, "|")
}
