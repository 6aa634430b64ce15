package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/client"

	"davit/compose"
	"davit/reconcile"
)

// Check says which attributes of what the plan makes this engine is too old for. It
// is asked before anything changes; its error is a reconcile.Stalled then.
func (e *Engine) Check(ctx context.Context, plan reconcile.Plan) error {
	services, networks := map[string]bool{}, map[string]bool{}
	for _, s := range plan.Steps {
		switch s.Kind {
		case reconcile.StepCreate:
			services[s.Service] = true
		case reconcile.StepNetwork:
			networks[s.Resource] = true
		}
	}
	if plan.Project == nil || len(services)+len(networks) == 0 {
		return nil
	}
	api, err := e.api(ctx)
	if err != nil {
		return err
	}
	all := tooNew(plan.Project, api, func(kind, key string) bool {
		return kind == "service" && services[key] || kind == "network" && networks[key]
	})
	switch len(all) {
	case 0:
		return nil
	case 1:
		return &reconcile.Stalled{Reason: "the engine is too old", Err: all[0]}
	}
	texts := make([]string, len(all))
	for i, err := range all {
		texts[i] = err.Error()
	}
	return &reconcile.Stalled{Reason: "the engine is too old", Err: reconcile.WithHint(
		errors.New(strings.Join(texts, "; ")), "upgrade Docker Engine, or do without these")}
}

// TooNew is an error for every attribute of p that this engine is too old for. The
// other error is that it could not be asked.
func (e *Engine) TooNew(ctx context.Context, p *compose.Project) ([]error, error) {
	api, err := e.api(ctx)
	if err != nil {
		return nil, err
	}
	return tooNew(p, api, func(string, string) bool { return true }), nil
}

func tooNew(p *compose.Project, api string, made func(kind, key string) bool) (all []error) {
	for _, s := range p.Services {
		if made("service", s.Name) {
			all = append(all, refusals("service "+s.Name, serviceGates(s.Config), api)...)
		}
	}
	if p.Model == nil {
		return all
	}
	for _, key := range slices.Sorted(maps.Keys(p.Model.Networks)) {
		if made("network", key) {
			all = append(all, refusals("network "+key, networkGates(p.Model.Networks[key]), api)...)
		}
	}
	return all
}

// api is the version that was negotiated.
func (e *Engine) api(ctx context.Context) (version string, err error) {
	err = e.do(ctx, "negotiate", func(_ context.Context, c *client.Client) error {
		version = c.ClientVersion()
		return nil
	})
	return version, err
}
