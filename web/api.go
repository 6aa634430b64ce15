package web

import (
	"slices"
	"strings"
	"time"

	"davit/reconcile"
)

// Status answers GET /v1/status.
type Status struct {
	Sources []SourceStatus          `json:"sources"`
	Stacks  []reconcile.StackStatus `json:"stacks"`
	// Edge is null where Docker publishes all ports.
	Edge *reconcile.EdgeStatus `json:"edge"`
}

// NewStatus is what the agent shows, with empty lists where Go has nil.
func NewStatus(stacks []reconcile.StackStatus, sources []SourceStatus) Status {
	s := Status{Sources: list(sources), Stacks: make([]reconcile.StackStatus, len(stacks))}
	for i, stack := range stacks {
		services := make([]reconcile.ServiceStatus, len(stack.Services))
		for j, service := range stack.Services {
			service.Containers = list(service.Containers)
			service.Ports, service.Draining, service.Ejected = list(service.Ports), list(service.Draining), list(service.Ejected)
			services[j] = service
		}
		stack.Services = services
		s.Stacks[i] = stack
	}
	return s
}

// Release is one line of GET /v1/history/{stack}. Every key is always there.
type Release struct {
	Seq      int64  `json:"seq"`
	Kind     string `json:"kind"`
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Commit   string `json:"commit"`
	// Outcome is "" while the release runs.
	Outcome string `json:"outcome"`
	// Reason says why the release was made and, once it ended badly, why.
	Reason  string `json:"reason"`
	Trigger string `json:"trigger"`
	Actor   string `json:"actor"`
	// Restores and RollbackOf are sequence numbers, null when they do not apply.
	Restores   *int64     `json:"restores"`
	RollbackOf *int64     `json:"rollback_of"`
	Started    time.Time  `json:"started"`
	Finished   *time.Time `json:"finished"`
	// RecoverySeconds is how long it took until what came back served; null for what is no
	// way back, or did not get there.
	RecoverySeconds *float64         `json:"recovery_seconds"`
	Services        []ReleaseService `json:"services"`
}

// ReleaseService is what a release ran for one service.
type ReleaseService struct {
	Name       string   `json:"name"`
	Image      string   `json:"image"`
	Digest     string   `json:"digest"`
	ImageID    string   `json:"image_id"`
	Containers []string `json:"containers"`
}

// NewHistory is the releases in the given order.
func NewHistory(releases []reconcile.Release) []Release {
	out := make([]Release, len(releases))
	for i, r := range releases {
		out[i] = NewRelease(r)
	}
	return out
}

// NewRelease is r as the API shows it: without its rendered project and logs.
func NewRelease(r reconcile.Release) Release {
	out := Release{
		Seq: r.Seq, Kind: r.Kind.String(), Version: r.Version, Revision: r.Revision, Commit: r.Commit,
		Outcome: r.Outcome.String(), Reason: because(r.Reason, r.Failure),
		Trigger: r.Trigger.String(), Actor: r.Actor,
		Restores: number(r.Restores), RollbackOf: number(r.RollbackOf),
		Started: r.Started.UTC(), RecoverySeconds: r.RecoverySeconds(), Services: make([]ReleaseService, len(r.Services)),
	}
	if !r.Finished.IsZero() {
		finished := r.Finished.UTC()
		out.Finished = &finished
	}
	for i, s := range r.Services {
		out.Services[i] = ReleaseService{
			Name: s.Name, Image: s.Image.Ref, Digest: s.Image.Digest, ImageID: s.Image.ID,
			Containers: list(s.Containers),
		}
	}
	return out
}

// Plans answers GET /v1/plan.
type Plans struct {
	Plans []Plan `json:"plans"`
}

// Plan is one stack's plan. Text is its golden form, as people read it.
type Plan struct {
	Stack    string `json:"stack"`
	From     string `json:"from"`
	To       string `json:"to"`
	Revision string `json:"revision"`
	Steps    []Step `json:"steps"`
	Blocked  string `json:"blocked"`
	// Waits is the window that the plan waits for, in words; "" for none.
	Waits string   `json:"waits"`
	Notes []string `json:"notes"`
	Text  string   `json:"text"`
}

// Step is one action of a Plan.
type Step struct {
	ID      int    `json:"id"`
	After   []int  `json:"after"`
	Kind    string `json:"kind"`
	Service string `json:"service"`
	Target  string `json:"target"`
	Reason  string `json:"reason"`
}

// NewPlans is what the planner found.
func NewPlans(plans []reconcile.Plan) Plans {
	out := Plans{Plans: make([]Plan, len(plans))}
	for i, p := range plans {
		steps := make([]Step, len(p.Steps))
		for j, s := range p.Steps {
			steps[j] = Step{ID: s.ID, After: list(s.After), Kind: s.Kind.String(),
				Service: s.Service, Target: s.Target(), Reason: s.Reason}
		}
		out.Plans[i] = Plan{Stack: p.Stack, From: p.From, To: p.To, Revision: p.Revision,
			Steps: steps, Blocked: p.Blocked, Waits: p.Waits, Notes: list(p.Notes), Text: p.String()}
	}
	return out
}

// Empty reports whether no plan has a step that could be taken now.
func (p Plans) Empty() bool {
	for _, plan := range p.Plans {
		if len(plan.Steps) > 0 && plan.Blocked == "" && plan.Waits == "" {
			return false
		}
	}
	return true
}

// Blocked reports whether a stack has something declared that cannot be planned
// at the moment.
func (p Plans) Blocked() bool {
	return slices.ContainsFunc(p.Plans, func(plan Plan) bool { return plan.Blocked != "" })
}

// Waiting reports whether a plan waits for its window.
func (p Plans) Waiting() bool {
	return slices.ContainsFunc(p.Plans, func(plan Plan) bool { return plan.Waits != "" })
}

// SourceReport answers GET /v1/source, POST /v1/poll and orders to apply. Its own
// keys are those of the first source in trouble, else of the first one: they are
// from when there was only one.
type SourceReport struct {
	SourceStatus
	Sources []SourceStatus `json:"sources"`
}

// NewSourceReport is a report of at least one source.
func NewSourceReport(sources []SourceStatus) SourceReport {
	r := SourceReport{SourceStatus: sources[0], Sources: sources}
	if i := slices.IndexFunc(sources, func(s SourceStatus) bool { return s.LastError != "" }); i >= 0 {
		r.SourceStatus = sources[i]
	}
	return r
}

// SourceStatus is how one source stands.
type SourceStatus struct {
	// Name is "" where there is only one source and nobody named it.
	Name     string `json:"name"`
	Source   string `json:"source"`
	Revision string `json:"revision"`
	Commit   string `json:"commit"`
	Version  string `json:"version"`
	// LastFetch is null until a listing succeeded.
	LastFetch *time.Time `json:"last_fetch"`
	LastError string     `json:"last_error"`
	NextPoll  *time.Time `json:"next_poll"`
}

// Health answers GET /healthz.
type Health struct {
	Status   string `json:"status"`
	Version  string `json:"version"`
	Instance string `json:"instance"`
}

// Order is the body of every POST on a stack. Each verb reads the keys that it
// needs.
type Order struct {
	Actor string `json:"actor,omitempty"`
	// To and Hold belong to rollback.
	To   string `json:"to,omitempty"`
	Hold bool   `json:"hold,omitempty"`
	// Service belongs to stop, start and restart; "" means all of them.
	Service string `json:"service,omitempty"`
	// TakeOver belongs to adopt.
	TakeOver bool `json:"take_over,omitempty"`
	// Now belongs to apply, whose content goes in though its windows are shut, and to drill.
	Now bool `json:"now,omitempty"`
	// DataCompatible and Gaps belong to drill: what it may risk.
	DataCompatible bool `json:"data_compatible,omitempty"`
	Gaps           bool `json:"gaps,omitempty"`
	// For and Reason belong to suspend; For is a Go duration.
	For    string `json:"for,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Problem is the body of every answer that is not 2xx.
type Problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

func number(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

// list is l, or an empty list for nil: readers iterate over every list.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// because joins why a release was made with why it ended badly.
func because(reason, failure string) string {
	switch {
	case failure == "" || strings.Contains(reason, failure):
		return reason
	case reason == "":
		return failure
	}
	return failure + " (" + reason + ")"
}
