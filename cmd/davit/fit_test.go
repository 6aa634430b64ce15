package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"davit/reconcile"
)

// oldEngine is the address of an engine of API 1.41 that answers nothing else.
func oldEngine(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") }))
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "http://", "tcp://", 1)
}

const needsNew = "name: shop\nservices: {web: {image: a, annotations: {a: b}, healthcheck: {test: [CMD, x], start_interval: 1s}}}\n"

func TestValidateAsksAnEngineThatIsNamed(t *testing.T) {
	dir, address := tree(t, map[string]string{"compose.yaml": needsNew}), oldEngine(t)
	if got := ask(t, nil, "validate", "--dir", dir); got.code != 0 {
		t.Errorf("without an engine: exit code %d: %s%s", got.code, got.out, got.err)
	}
	got := ask(t, nil, "validate", "--dir", dir, "--engine", address)
	for _, want := range []string{"compose.yaml: service web: annotations needs Docker API 1.43", "start_interval needs", "2 mistakes"} {
		if got.code != 1 || !strings.Contains(got.out, want) {
			t.Errorf("exit code %d, want 1 and %q: %s%s", got.code, want, got.out, got.err)
		}
	}
	if got := ask(t, nil, "validate", "--dir", dir, "--engine", "unix:///nowhere.sock"); got.code != 1 || !strings.Contains(got.err, "nowhere") {
		t.Errorf("with an engine that is down: exit code %d: %s%s", got.code, got.out, got.err)
	}
}

func TestDoctorNamesWhatTheEngineIsTooOldFor(t *testing.T) {
	d := healthyDoctor(t)
	if found := d.stacksCheck(t.Context()); len(found) != 0 {
		t.Errorf("before anything was fetched: %v", found)
	}
	if _, err := identify(d.config.Data); err != nil {
		t.Fatal(err)
	}
	s := held(t, d.config.Data)
	r := reconcile.Revision{Ref: "main", Commit: strings.Repeat("a", 40), Dir: tree(t, map[string]string{"compose.yaml": needsNew})}
	if err := rememberRevision(t.Context(), s, "", r); err != nil {
		t.Fatal(err)
	}
	d.config.Path, d.config.Adopt = ".", "identical"
	if found := d.stacksCheck(t.Context()); len(found) != 1 || found[0].Level != levelOK {
		t.Errorf("a new engine: %v", found)
	}
	f := d.engine.(fakeHost)
	f.tooNew = []error{reconcile.WithHint(errors.New("service web: annotations needs 24.0"), "upgrade")}
	d.engine = f
	if found := d.stacksCheck(t.Context()); len(found) != 1 || found[0].Level != levelFail || found[0].Advice != "upgrade" || !strings.HasPrefix(found[0].Seen, "shop: service web") {
		t.Errorf("an old engine: %v", found)
	}
}
