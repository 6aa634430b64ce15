package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"davit/analysis"
)

func TestPrometheusServersOfTheConfiguration(t *testing.T) {
	c, err := loadConfig(t, `prometheus:
  main: {url: http://127.0.0.1:9090}
  far: {url: https://metrics.example.com/prom/, token_file: secret/token}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Prometheus) != 2 {
		t.Fatalf("got %+v", c.Prometheus)
	}
	main, far := c.Prometheus[0], c.Prometheus[1]
	if main.Name != "main" || main.URL.String() != "http://127.0.0.1:9090" || main.TokenFile != "" {
		t.Errorf("got %+v", main)
	}
	if far.Name != "far" || far.URL.String() != "https://metrics.example.com/prom/" || !filepath.IsAbs(far.TokenFile) || !strings.HasSuffix(far.TokenFile, "secret/token") {
		t.Errorf("got %+v", far)
	}
}

func TestMistakesInPrometheusServersAreNamedWithTheirPlaceAndWithoutTheirSecrets(t *testing.T) {
	const needs = "prometheus.a: needs url, an http or https address without a password or a query"
	for file, want := range map[string]string{
		"prometheus: http://x\n":                                           ":1: prometheus must have keys and values",
		"prometheus: {A: {url: http://x}}\n":                               `:1: prometheus: "A" is no name of a server`,
		"prometheus:\n  a: {}\n":                                           ":2: " + needs,
		"prometheus:\n  a: {url: metrics}\n":                               ":2: " + needs,
		"prometheus: {a: {url: unix:///run/x}}\n":                          needs,
		"prometheus: {a: {url: 'http://me:hunter2@x'}}\n":                  needs,
		"prometheus: {a: {url: 'http://x/?token=hunter2'}}\n":              needs,
		"prometheus: {a: {url: http://x, token: hunter2}}\n":               `unknown key "token" in prometheus.a: there are url and token_file`,
		"prometheus: {a: {url: http://x, token_file: ''}}\n":               "prometheus.a.token_file: must name a file",
		"prometheus: {a: {url: http://x}, a: {url: http://x}}\n":           "a: given twice",
		"sources: [{name: x, repo: /r, prometheus: {a: {url: http://x}}}]": `unknown key "prometheus"`,
	} {
		_, err := loadConfig(t, file, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", file, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v tells a secret", file, err)
		}
	}
}

// answering is a server of that name that answers every query with this number.
func answering(t *testing.T, name, number string) analysis.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,%q]}]}}`, number)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return analysis.Server{Name: name, URL: u}
}

func TestAHostAsksTheServersOfItsConfiguration(t *testing.T) {
	a := (&host{}).analyst(Config{Prometheus: []analysis.Server{answering(t, "main", "3"), answering(t, "far", "4")}})
	if got := a.Queries.Ask(t.Context(), "far", "up"); got.Err != nil || got.Value != 4 {
		t.Errorf("%+v", got)
	}
	if a.Edge != nil {
		t.Errorf("a host without an edge has one that counts")
	}
}

func TestTheDoctorAsksPrometheus(t *testing.T) {
	gone := answering(t, "gone", "1")
	gone.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	d := &doctor{config: Config{Prometheus: []analysis.Server{answering(t, "main", "1"), answering(t, "odd", "2"), gone}}}
	found := d.prometheusCheck(t.Context())
	if len(found) != 3 || found[0].Level != levelOK || found[1].Level != levelFail || found[2].Level != levelFail {
		t.Fatalf("%+v", found)
	}
	for i, want := range []string{"main answers queries", "odd answers as no Prometheus does: vector(1) is 2", "ask Prometheus gone: "} {
		if !strings.HasPrefix(found[i].Seen, want) {
			t.Errorf("%s, want %s", found[i].Seen, want)
		}
	}
	if found := (&doctor{}).prometheusCheck(t.Context()); len(found) != 0 {
		t.Errorf("without any: %+v", found)
	}
}
