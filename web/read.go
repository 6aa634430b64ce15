package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"davit/reconcile"
)

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, Health{Status: "ok", Version: s.Version, Instance: s.Instance})
}

func (s *Server) status(r *http.Request) (any, error) {
	stacks, err := s.Agent.Status(r.Context())
	if err != nil {
		return nil, err
	}
	status := NewStatus(stacks, s.Sources.States())
	status.Edge = s.Agent.EdgeStatus()
	return status, nil
}

func (s *Server) source(*http.Request) (any, error) { return NewSourceReport(s.Sources.States()), nil }

func (s *Server) plan(r *http.Request) (any, error) {
	stack := r.URL.Query().Get("stack")
	if stack != "" {
		if err := s.known(r, stack); err != nil {
			return nil, err
		}
	}
	plans, err := s.Agent.Plan(r.Context(), reconcile.PlanRequest{Stack: stack, Values: r.URL.Query().Get("show_values") == "1"})
	if err != nil {
		return nil, err
	}
	return NewPlans(plans), nil
}

func (s *Server) history(r *http.Request) (any, error) {
	limit, err := count(r, "limit", 0)
	if err != nil {
		return nil, err
	}
	stack := r.PathValue("stack")
	releases, err := s.History.Releases(r.Context(), stack, limit)
	if err != nil {
		return nil, err
	}
	if len(releases) == 0 {
		if err := s.known(r, stack); err != nil {
			return nil, err
		}
	}
	return NewHistory(releases), nil
}

// known is an error with status 404 unless stack is declared, runs or has a
// history.
func (s *Server) known(r *http.Request, stack string) error {
	stacks, err := s.Agent.Status(r.Context())
	if err != nil {
		return err
	}
	if slices.ContainsFunc(stacks, func(k reconcile.StackStatus) bool { return k.Name == stack }) {
		return nil
	}
	releases, err := s.History.Releases(r.Context(), stack, 1)
	if err != nil {
		return err
	}
	if len(releases) > 0 {
		return nil
	}
	return NotFound(stack)
}

// NotFound says that there is no stack of that name.
func NotFound(stack string) error {
	return &Error{Status: http.StatusNotFound, Message: fmt.Sprintf("stack %q: not found", stack),
		Hint: "`davit status` lists every stack"}
}

// count reads a non-negative number from the query; without one it is def.
func count(r *http.Request, key string, def int) (int, error) {
	text := r.URL.Query().Get(key)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("%s=%q: not a number from 0", key, text)}
	}
	return n, nil
}
