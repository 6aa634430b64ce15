package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"davit/reconcile"
)

func (s *Server) poll(r *http.Request) (any, error) {
	name := r.URL.Query().Get("source")
	named := func(x SourceStatus) bool { return x.Name == name }
	if name != "" && !slices.ContainsFunc(s.Sources.States(), named) {
		return nil, &Error{Status: http.StatusNotFound, Message: fmt.Sprintf("source %q: not found", name), Hint: "`davit status` lists every source"}
	}
	if err := s.Sources.Poll(r.Context(), name); err != nil {
		return nil, err
	}
	return NewSourceReport(s.Sources.States()), nil
}

// done answers an order that has nothing to show.
type done struct {
	Stack string `json:"stack"`
	Verb  string `json:"verb"`
}

// order carries out POST /v1/stacks/{stack}/{verb}.
func (s *Server) order(r *http.Request) (any, error) {
	stack, verb := r.PathValue("stack"), r.PathValue("verb")
	o, err := readOrder(r)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	switch verb {
	case "apply":
		return s.wake(r, stack, o)
	case "rollback":
		release, err := s.Agent.Rollback(ctx, reconcile.RollbackRequest{Stack: stack, To: o.To, Hold: o.Hold, Actor: o.Actor})
		return NewRelease(release), err
	case "drill":
		release, err := s.Agent.Drill(ctx, reconcile.DrillRequest{Stack: stack, Actor: o.Actor, DataCompatible: o.DataCompatible, Gaps: o.Gaps, Now: o.Now})
		return NewRelease(release), err
	case "suspend":
		return s.suspend(r, o)
	case "stop":
		err = s.Agent.Stop(ctx, reconcile.ServiceRequest{Stack: stack, Service: o.Service, Actor: o.Actor})
	case "start":
		err = s.Agent.Start(ctx, reconcile.ServiceRequest{Stack: stack, Service: o.Service, Actor: o.Actor})
	case "restart":
		err = s.Agent.Restart(ctx, reconcile.ServiceRequest{Stack: stack, Service: o.Service, Actor: o.Actor})
	case "adopt":
		err = s.Agent.Adopt(ctx, reconcile.AdoptRequest{Stack: stack, Actor: o.Actor, TakeOver: o.TakeOver})
	case "unpin":
		err = s.Agent.Unpin(ctx, stack, o.Actor)
	case "retry":
		err = s.Agent.Retry(ctx, stack, o.Actor)
	case "promote":
		err = s.Agent.Promote(ctx, stack, o.Actor)
	case "abort":
		err = s.Agent.Abort(ctx, stack, o.Actor)
	case "resume":
		err = s.Agent.Resume(ctx, stack, o.Actor)
	case "remove":
		err = s.Agent.Remove(ctx, stack, o.Actor)
	default:
		return nil, &Error{Status: http.StatusNotFound, Message: fmt.Sprintf("POST %s: no such verb", r.URL.Path)}
	}
	return done{Stack: stack, Verb: verb}, err
}

// applyAll polls and wakes every stack.
func (s *Server) applyAll(r *http.Request) (any, error) {
	o, err := readOrder(r)
	if err != nil {
		return nil, err
	}
	return s.wake(r, "", o)
}

func (s *Server) wake(r *http.Request, stack string, o Order) (any, error) {
	source, err := s.sourceOf(r, stack)
	if err != nil {
		return nil, err
	}
	// A source that is down is no reason not to correct drift: its error is in
	// the answer.
	if err := s.Sources.Poll(r.Context(), source); err != nil && r.Context().Err() != nil {
		return nil, err
	}
	if stack != "" {
		if err := s.known(r, stack); err != nil {
			return nil, err
		}
	}
	s.Agent.Wake(stack, reconcile.TriggerCLI)
	if o.Now {
		if err := s.Agent.PassWindows(r.Context(), stack, o.Actor); err != nil {
			return nil, err
		}
	}
	return NewSourceReport(s.Sources.States()), nil
}

// sourceOf is the name of the source that a stack belongs to: a source that hangs
// is no other stack's concern. It is "" for all stacks, and for one that may yet
// be declared anywhere.
func (s *Server) sourceOf(r *http.Request, stack string) (string, error) {
	if stack == "" || len(s.Sources.States()) < 2 {
		return "", nil
	}
	stacks, err := s.Agent.Status(r.Context())
	for _, k := range stacks {
		if k.Name == stack {
			return k.Source, err
		}
	}
	return "", err
}

func (s *Server) suspend(r *http.Request, o Order) (any, error) {
	var length time.Duration
	if o.For != "" {
		d, err := time.ParseDuration(o.For)
		if err != nil || d <= 0 {
			return nil, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("for: %q is not a duration like 2h30m", o.For)}
		}
		length = d
	}
	stack := r.PathValue("stack")
	err := s.Agent.Suspend(r.Context(), reconcile.SuspendRequest{Stack: stack, Reason: o.Reason, Actor: o.Actor, For: length})
	return done{Stack: stack, Verb: "suspend"}, err
}

// readOrder reads the body, strictly: a misspelt key must not be an order to do
// something else.
func readOrder(r *http.Request) (Order, error) {
	var o Order
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(&o)
	if errors.Is(err, io.EOF) {
		return o, nil
	}
	if err == nil && d.More() {
		err = errors.New("more than one value")
	}
	if err != nil {
		return o, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("read the order: %v", err)}
	}
	return o, nil
}
