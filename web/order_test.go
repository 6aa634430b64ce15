package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/compose"
	"davit/reconcile"
	"davit/web"
)

func TestOrdersReachTheAgentWithTheirActor(t *testing.T) {
	tests := map[string]struct {
		order web.Order
		want  any
	}{
		"rollback": {web.Order{To: "v1.2.0", Hold: true, Actor: "ada"}, reconcile.RollbackRequest{Stack: "shop", To: "v1.2.0", Hold: true, Actor: "ada"}},
		"drill":    {web.Order{DataCompatible: true, Gaps: true, Now: true, Actor: "ada"}, reconcile.DrillRequest{Stack: "shop", DataCompatible: true, Gaps: true, Now: true, Actor: "ada"}},
		"suspend":  {web.Order{For: "2h", Reason: "moving", Actor: "ada"}, reconcile.SuspendRequest{Stack: "shop", For: 2 * time.Hour, Reason: "moving", Actor: "ada"}},
		"unpin":    {web.Order{Actor: "ada"}, told{"unpin", "shop", "ada"}},
		"promote":  {web.Order{Actor: "ada"}, told{"promote", "shop", "ada"}},
		"abort":    {web.Order{Actor: "ada"}, told{"abort", "shop", "ada"}},
		"retry":    {web.Order{Actor: "ada"}, told{"retry", "shop", "ada"}},
		"resume":   {web.Order{Actor: "ada"}, told{"resume", "shop", "ada"}},
		"remove":   {web.Order{Actor: "ada"}, told{"remove", "shop", "ada"}},
		"stop":     {web.Order{Service: "web", Actor: "ada"}, told{"stop web", "shop", "ada"}},
		"start":    {web.Order{Service: "web", Actor: "ada"}, told{"start web", "shop", "ada"}},
		"restart":  {web.Order{Actor: "ada"}, told{"restart ", "shop", "ada"}},
		"adopt":    {web.Order{TakeOver: true, Actor: "ada"}, reconcile.AdoptRequest{Stack: "shop", Actor: "ada", TakeOver: true}},
		"apply":    {web.Order{}, woken{"shop", reconcile.TriggerCLI}},
	}
	for verb, test := range tests {
		t.Run(verb, func(t *testing.T) {
			a := newAgent()
			if err := client(t, serve(t, a)).Order(t.Context(), "shop", verb, test.order); err != nil {
				t.Fatal(err)
			}
			if len(a.orders) != 1 || !reflect.DeepEqual(a.orders[0], test.want) {
				t.Errorf("the agent was told %v, want %v", a.orders, test.want)
			}
		})
	}
}

func TestApplyNowIsToldToTheAgentForOneStackAndForAll(t *testing.T) {
	for _, stack := range []string{"shop", ""} {
		a := newAgent()
		if _, err := client(t, serve(t, a)).Apply(t.Context(), stack, web.Order{Now: true, Actor: "ada"}); err != nil {
			t.Fatal(err)
		}
		if want := []any{woken{stack, reconcile.TriggerCLI}, told{"pass windows", stack, "ada"}}; !reflect.DeepEqual(a.orders, want) {
			t.Errorf("the agent was told %v, want %v", a.orders, want)
		}
	}
}

func TestApplyPollsFirstAndSurvivesASourceThatIsDown(t *testing.T) {
	a := newAgent()
	a.pollErr = errors.New("connection refused")
	if err := client(t, serve(t, a)).Order(t.Context(), "shop", "apply", web.Order{}); err != nil {
		t.Fatal(err)
	}
	if len(a.polls) != 1 || len(a.orders) != 1 {
		t.Errorf("polls %q, orders %v; want one of each", a.polls, a.orders)
	}
}

func TestOnlyTheSourceThatIsMeantIsPolled(t *testing.T) {
	a := newAgent()
	a.sources = []web.SourceStatus{{Name: "a", Source: "https://git.example/a"}, {Name: "b", Source: "https://git.example/b", LastError: "no route"}}
	a.stacks[0].Source = "b"
	c := client(t, serve(t, a))
	for _, stack := range []string{"shop", ""} {
		if _, err := c.Apply(t.Context(), stack, web.Order{}); err != nil {
			t.Fatal(err)
		}
	}
	report, err := c.Poll(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"b", "", "a"}; !slices.Equal(a.polls, want) {
		t.Errorf("polled %q, want %q", a.polls, want)
	}
	if report.Name != "b" || report.LastError != "no route" || !reflect.DeepEqual(report.Sources, a.sources) {
		t.Errorf("reported %+v, want all sources and, as the only one, that in trouble", report)
	}
	var refused *web.Error
	if _, err := c.Poll(t.Context(), "c"); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("a source that is not there: %v", err)
	}
}

func TestErrorsKeepTheirStatusMessageAndHint(t *testing.T) {
	tests := map[string]struct {
		err    error
		status int
	}{
		"a stack that is not in a state for it": {fmt.Errorf("remove shop: %w: it is declared", reconcile.ErrNotApplicable), http.StatusConflict},
		"a stack that is not there":             {fmt.Errorf("%w: shop", reconcile.ErrNoSuchStack), http.StatusNotFound},
		"a release that is not there":           {fmt.Errorf("%w: v9", reconcile.ErrNoSuchRelease), http.StatusNotFound},
		"anything else":                         {errors.New("store: broken"), http.StatusInternalServerError},
		"an engine that is away":                {fmt.Errorf("observe: %w", reconcile.ErrEngineUnavailable), http.StatusServiceUnavailable},
		"a full disk":                           {fmt.Errorf("store: %w", reconcile.ErrDiskFull), http.StatusInsufficientStorage},
		"a deadline":                            {fmt.Errorf("store: %w", context.DeadlineExceeded), http.StatusGatewayTimeout},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := newAgent()
			a.err = reconcile.WithHint(test.err, "look here")
			err := client(t, serve(t, a)).Order(t.Context(), "shop", "remove", web.Order{})
			var refused *web.Error
			if !errors.As(err, &refused) {
				t.Fatalf("error %v, want a *web.Error", err)
			}
			if want := (web.Error{Status: test.status, Message: test.err.Error(), Hint: "look here"}); *refused != want {
				t.Errorf("got %+v, want %+v", *refused, want)
			}
		})
	}
}

func TestBadRequestsAreRefusedPrecisely(t *testing.T) {
	tests := map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"unknown path":       {"GET", "/v2/status", "", 404, "no such path"},
		"wrong method":       {"POST", "/v1/status", "", 405, "use GET"},
		"unknown verb":       {"POST", "/v1/stacks/shop/explode", "", 404, "no such verb"},
		"unknown stack":      {"POST", "/v1/stacks/nope/apply", "", 404, `stack "nope"`},
		"unknown in history": {"GET", "/v1/history/nope", "", 404, `stack "nope"`},
		"unknown in plan":    {"GET", "/v1/plan?stack=nope", "", 404, `stack "nope"`},
		"misspelt key":       {"POST", "/v1/stacks/shop/rollback", `{"too":"v1"}`, 400, `"too"`},
		"not JSON":           {"POST", "/v1/stacks/shop/rollback", `to=v1`, 400, "read the order"},
		"two values":         {"POST", "/v1/stacks/shop/rollback", `{} {}`, 400, "more than one"},
		"large body":         {"POST", "/v1/stacks/shop/rollback", `{"to":"` + strings.Repeat("x", 70<<10) + `"}`, 413, "more than"},
		"bad duration":       {"POST", "/v1/stacks/shop/suspend", `{"for":"soon"}`, 400, "for:"},
		"negative duration":  {"POST", "/v1/stacks/shop/suspend", `{"for":"-1h"}`, 400, "for:"},
		"bad limit":          {"GET", "/v1/history/shop?limit=-1", "", 400, "limit"},
		"bad cursor":         {"GET", "/v1/events?after=x", "", 400, "after"},
		"nothing rendered":   {"GET", "/v1/config/shop", "", 404, "no release"},
	}
	a := newAgent()
	h := web.New(web.Options{Agent: a, History: a, Events: a, Bell: a.bell, Sources: a, Logger: slog.New(slog.DiscardHandler)}).Handler(t.Context())
	server := httptest.NewServer(h)
	defer server.Close()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), test.method, server.URL+test.path, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != test.status || !strings.Contains(string(body), strings.ReplaceAll(test.says, `"`, `\"`)) || !strings.HasPrefix(string(body), `{"error":`) {
				t.Errorf("%d %s, want %d with %q", resp.StatusCode, body, test.status, test.says)
			}
		})
	}
	if len(a.orders) > 0 {
		t.Errorf("the agent was told %v", a.orders)
	}
}

func TestConfigMasksValuesUnlessAsked(t *testing.T) {
	root := t.TempDir()
	file := "name: shop\nservices:\n  web:\n    image: shop:1\n    environment: {TOKEN: hunter2, PRICE: 5$$}\n" +
		"    configs: [c]\nconfigs: {c: {content: hunter2}}\n"
	if err := os.WriteFile(filepath.Join(root, "compose.yaml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	project, err := compose.Load(t.Context(), compose.Stack{Name: "shop", Dir: ".", Files: []string{"compose.yaml"}},
		compose.LoadOptions{Root: root, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := project.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	a := newAgent()
	a.releases["shop"] = []reconcile.Release{
		{Seq: 3, Outcome: reconcile.Failed, Project: []byte("not this one")},
		{Seq: 2, Outcome: reconcile.Succeeded, Version: "v1.2.0", Project: recorded},
	}
	c := client(t, serve(t, a))
	hidden, err := c.Config(t.Context(), "shop", false)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := c.Config(t.Context(), "shop", true)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(hidden.Project, "hunter2") || !strings.Contains(hidden.Project, "TOKEN: '***'") {
		t.Errorf("masked:\n%s", hidden.Project)
	}
	if shown.Seq != 2 || strings.Count(shown.Project, "hunter2") != 2 || !strings.Contains(shown.Project, "PRICE: 5$$\n") ||
		!strings.HasPrefix(shown.Project, "name: shop\n") {
		t.Errorf("shown (release %d):\n%s", shown.Seq, shown.Project)
	}
}
