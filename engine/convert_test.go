package engine

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/tools/txtar"

	"davit/compose"
	"davit/reconcile"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestServicesBecomeWhatComposeMakesOfThem converts the compose files under
// testdata/convert. The first words of a golden file are the API version, then
// "alias" and "ports" where the container is born with them, then
// "carry=path:volume" and "peer=service:name:id". The last section is the request, empty values left out,
// or the error.
func TestServicesBecomeWhatComposeMakesOfThem(t *testing.T) {
	files, err := filepath.Glob("testdata/convert/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := converted(t, a)
			want := &a.Files[len(a.Files)-1]
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want.Data) {
				t.Errorf("got\n%s\nwant\n%s", got, want.Data)
			}
		})
	}
}

func converted(t *testing.T, a *txtar.Archive) string {
	t.Helper()
	words := strings.Fields(string(a.Comment))
	r := request(t, a)
	in := surroundings{API: words[0], Instance: "test", Image: r.Image.Ref}
	for _, w := range words[1:] {
		carry, isCarry := strings.CutPrefix(w, "carry=")
		peer, isPeer := strings.CutPrefix(w, "peer=")
		switch {
		case isPeer:
			part := strings.Split(peer, ":")
			if r.Peers == nil {
				r.Peers = map[string][]reconcile.Peer{}
			}
			r.Peers[part[0]] = append(r.Peers[part[0]], reconcile.Peer{Name: part[1], ID: part[2]})
		case w == "alias":
			r.Create.Alias = true
		case w == "ports":
			r.Create.Ports = true
		case w == "proxy":
			url := "http://proxy:3128"
			in.Proxy = map[string]*string{"HTTP_PROXY": &url, "MODE": &url}
		case isCarry:
			path, volume, _ := strings.Cut(carry, ":")
			r.Create.Carry = map[string]string{path: volume}
		default:
			t.Fatalf("unknown word %q", w)
		}
	}
	s, err := convert(r, in)
	if err != nil {
		if hint := reconcile.Hint(err); hint != "" {
			return err.Error() + "\nhint: " + hint + "\n"
		}
		return err.Error() + "\n"
	}
	for name := range s.Config.Labels {
		if strings.HasPrefix(name, "com.docker.compose.") || strings.HasPrefix(name, "davit.") {
			delete(s.Config.Labels, name)
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return pruned(t, text)
}

// request loads the archive's compose.yaml. Other files of it are written beside.
func request(t *testing.T, a *txtar.Archive) reconcile.CreateRequest {
	t.Helper()
	dir := "/srv/shop"
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: a.Files[0].Data}},
		Environment: types.Mapping{"TOKEN": "hush"},
	}, func(o *loader.Options) {
		o.SetProjectName("shop", true)
		o.SkipConsistencyCheck = true
	})
	if err != nil {
		t.Fatal(err)
	}
	return reconcile.CreateRequest{
		Project: &compose.Project{Name: "shop", WorkingDir: dir, Model: p},
		Service: compose.Service{Name: "web", Config: p.Services["web"]},
		Image:   reconcile.Image{Ref: "shop:1"}, Number: 1, Restart: "no",
		Create: reconcile.Create{Name: "shop-web-1", Final: "shop-web-1"},
	}
}

// pruned is indented JSON without null, "", 0, false and objects that are empty.
// Empty lists stay: they say something.
func pruned(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(prune(v)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// nothing is an empty list that says no more than null, in a slice of ours.
func nothing(v any) bool {
	list, ok := v.([]any)
	return ok && len(list) == 0
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			keep := prune(e)
			// These mean something by being there: a port, a tmpfs, an endpoint.
			present := strings.Contains(k, "/") || strings.HasPrefix(k, "shop_")
			if keep == nil && !present || k == "ConsoleSize" || k == "Later" && nothing(e) {
				delete(v, k)
				continue
			}
			v[k] = keep
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	case string:
		if v == "" {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return v
}

func TestAnAttributeThatIsNotMappedIsAnError(t *testing.T) {
	port := uint32(18)
	for _, c := range []struct {
		name string
		edit func(*types.ServiceConfig)
	}{
		{"models", func(s *types.ServiceConfig) { s.Models = map[string]*types.ServiceModelConfig{"m": nil} }},
		{"provider", func(s *types.ServiceConfig) { s.Provider = &types.ServiceProviderConfig{Type: "x"} }},
		{"log_driver", func(s *types.ServiceConfig) { s.LogDriver = "syslog" }},
		{"net", func(s *types.ServiceConfig) { s.Net = "host" }},
		{"umask", func(s *types.ServiceConfig) { s.Umask = &port }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := types.ServiceConfig{Name: "web", ContainerSpec: types.ContainerSpec{Image: "shop:1"}}
			if err := supported(s); err != nil {
				t.Fatalf("without it: %v", err)
			}
			c.edit(&s)
			if err := supported(s); err == nil || !strings.Contains(err.Error(), c.name) || !strings.Contains(err.Error(), "web") {
				t.Errorf("with it: %v", err)
			}
		})
	}
}

func TestRestartPoliciesAreReadAndWritten(t *testing.T) {
	for _, words := range []string{"no", "always", "unless-stopped", "on-failure", "on-failure:3"} {
		p, err := restartPolicy(words)
		if err != nil || restartWords(p) != words {
			t.Errorf("%s becomes %s (%v)", words, restartWords(p), err)
		}
	}
	for _, words := range []string{"", "never", "always:3", "on-failure:x", "on-failure:-1", "on-failure:"} {
		if _, err := restartPolicy(words); err == nil {
			t.Errorf("%q passes for a policy", words)
		}
	}
}

func TestAFingerprintIgnoresThePassageOfTime(t *testing.T) {
	for status, want := range map[string]string{
		"Up 3 seconds": "", "Up About a minute (healthy)": "(healthy)", "Exited (137) 2 days ago": "(137)",
		"Up 2 hours (Paused)": "(Paused)", "Restarting (1) 4 seconds ago": "(1)", "Up 1 second (health: starting)": "(health: starting)",
		"": "", "odd (": "()",
	} {
		if got := remarks(status); got != want {
			t.Errorf("%q has the remarks %q, want %q", status, got, want)
		}
	}
}
