package testbed

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"time"
)

// Status is what `davit status` says of every stack.
func (a *Agent) Status() []Status {
	a.tb.Helper()
	stacks, err := a.status()
	if err != nil {
		a.tb.Fatalf("%v", err)
	}
	return stacks
}

// History is what `davit history` says of a stack, newest first.
func (a *Agent) History(stack string) []Release {
	a.tb.Helper()
	releases, err := a.history(stack)
	if err != nil {
		a.tb.Fatalf("%v", err)
	}
	return releases
}

func (a *Agent) status() ([]Status, error) {
	a.tb.Helper()
	var answer struct{ Stacks []Status }
	err := a.ask(&answer, "status", "-o", "json")
	return answer.Stacks, err
}

func (a *Agent) history(stack string) ([]Release, error) {
	a.tb.Helper()
	var releases []Release
	err := a.ask(&releases, "history", stack, "-o", "json")
	return releases, err
}

func (a *Agent) ask(out any, args ...string) error {
	a.tb.Helper()
	answer := a.CLI(args...)
	if answer.Code != 0 {
		return fmt.Errorf("davit %s: exit code %d: %s", args[0], answer.Code, answer.Stderr)
	}
	if err := json.Unmarshal([]byte(answer.Stdout), out); err != nil {
		return fmt.Errorf("davit %s: %w in %q", args[0], err, answer.Stdout)
	}
	return nil
}

// WaitStatus waits until a stack's status is as ok wants it. What is said is what
// was waited for, should it never come.
func (a *Agent) WaitStatus(stack, what string, ok func(Status) bool) Status {
	a.tb.Helper()
	var found Status
	look := func(stacks []Status) (bool, string) {
		for _, s := range stacks {
			if s.Name == stack {
				found = s
				return ok(s), fmt.Sprintf("%+v", s)
			}
		}
		return false, fmt.Sprintf("no stack %s in %+v", stack, stacks)
	}
	a.until(what, func() (bool, string) {
		var glimpse struct{ Stacks []Status }
		if a.glimpse("/v1/status", &glimpse) {
			if done, seen := look(glimpse.Stacks); !done {
				return false, seen
			}
		}
		stacks, err := a.status()
		if err != nil {
			return false, err.Error()
		}
		return look(stacks)
	})
	return found
}

// glimpse asks the agent at its socket for what a command prints, and reports whether it
// has answered. That costs a hundredth of the command, which need not be run before it has
// something new to say.
func (a *Agent) glimpse(path string, into any) bool {
	ctx, cancel := context.WithTimeout(a.tb.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://davit"+path, nil)
	if err != nil {
		return false
	}
	client := &http.Client{Transport: unixTransport(filepath.Join(a.Data, "davit.sock"))}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK && json.NewDecoder(response.Body).Decode(into) == nil
}

// WaitSynced waits until a stack runs exactly what is declared and all of it is
// healthy.
func (a *Agent) WaitSynced(stack, version string) Status {
	a.tb.Helper()
	return a.WaitStatus(stack, stack+" at "+version+", synced and healthy", func(s Status) bool {
		return s.Version == version && s.Sync == "synced" && s.Health == "healthy"
	})
}

// WaitSync waits for a word of `davit status`, such as "held".
func (a *Agent) WaitSync(stack, word string) Status {
	a.tb.Helper()
	return a.WaitStatus(stack, stack+" "+word, func(s Status) bool { return s.Sync == word })
}

// WaitRelease waits until a stack's history has a release that ok wants and
// returns the newest such.
func (a *Agent) WaitRelease(stack, what string, ok func(Release) bool) Release {
	a.tb.Helper()
	var found Release
	look := func(releases []Release) (bool, string) {
		for _, r := range releases {
			if ok(r) {
				found = r
				return true, ""
			}
		}
		return false, "history:\n" + historyText(releases)
	}
	a.until(what, func() (bool, string) {
		var glimpse []Release
		if a.glimpse("/v1/history/"+url.PathEscape(stack), &glimpse) {
			if done, seen := look(glimpse); !done {
				return false, seen
			}
		}
		releases, err := a.history(stack)
		if err != nil {
			return false, err.Error()
		}
		return look(releases)
	})
	return found
}

// WaitOutcome waits until the newest release of a version has ended, and ended in
// the given word.
func (a *Agent) WaitOutcome(stack, version, outcome string) Release {
	a.tb.Helper()
	return a.WaitRelease(stack, fmt.Sprintf("%s: %s %s", stack, version, outcome), func(r Release) bool {
		return r.Version == version && r.Outcome == outcome
	})
}

// until asks again and again, until done, the agent's unexpected end, or the end
// of its patience.
func (a *Agent) until(what string, check func() (done bool, seen string)) {
	a.tb.Helper()
	deadline := time.Now().Add(a.Patience)
	for {
		done, seen := check()
		if done {
			return
		}
		if err, dead := a.died(); dead {
			a.tb.Fatalf("waiting for %s: davit ended by itself: %v\n%s", what, err, tail(a.Log(), 20))
		}
		if time.Now().After(deadline) {
			a.tb.Fatalf("waited %s in vain for %s; last seen: %s", a.Patience, what, seen)
		}
		select {
		case <-a.tb.Context().Done():
			a.tb.Fatalf("waiting for %s: %v", what, a.tb.Context().Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
