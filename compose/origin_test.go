package compose

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestAnAdoptedStackKeepsItsDataWhereComposeHadIt(t *testing.T) {
	files := map[string]string{
		"app/compose.yaml": `
services:
  a:
    image: a
    volumes: ["./data:/data", "./conf:/conf:ro", "./state:/state", "/srv:/srv"]
    secrets: [s]
secrets: {s: {file: ./secret}}
`, "app/conf/x": "x", "app/state/y": "from git"}
	root, data, host := write(t, files), t.TempDir(), t.TempDir()
	o := options(root)
	o.DataDir = data
	p, err := Load(t.Context(), find(t, root), o)
	if err != nil {
		t.Fatal(err)
	}
	there := filepath.Join(host, "app")
	moved, err := p.Relocated(Origin{WorkingDir: there, ConfigFiles: there + "/compose.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{there + "/data", filepath.Join(data, "files") + "/*/conf", there + "/state", "/srv"}
	for i, v := range moved.Services[0].Config.Volumes {
		if got := v.Source; got != want[i] && !(strings.HasPrefix(got, filepath.Join(data, "files")) && strings.HasSuffix(got, "/conf") && i == 1) {
			t.Errorf("mounts %s, want %s", got, want[i])
		}
	}
	if got := moved.Model.Secrets["s"].File; got != there+"/secret" {
		t.Errorf("the secret is expected at %s", got)
	}
	if moved.Hash != p.Hash || moved.Services[0].Hash != p.Services[0].Hash {
		t.Error("the same content counts as new because it is elsewhere")
	}
	if moved.Services[0].ConfigHash != p.ConfigHash("a", HashContext{Dir: there}) {
		t.Error("Compose, run there, would see a change")
	}
	again(t, moved)

	put(t, filepath.Join(there, "state/y"), "from the container")
	backups, err := (Files{}).Write(moved)
	if err != nil || len(backups) != 1 {
		t.Fatalf("backups %v, %v", backups, err)
	}
	if text, err := os.ReadFile(filepath.Join(there, "state/y")); err != nil || string(text) != "from git" {
		t.Errorf("state/y is %q, %v", text, err)
	}
	entries, err := os.ReadDir(host)
	if err != nil || len(entries) != 1 {
		t.Errorf("davit left something of its own beside the directory: %v, %v", entries, err)
	}

	back, err := moved.Relocated(*moved.Origin)
	if err != nil || !reflect.DeepEqual(back, moved) {
		t.Errorf("moving to where it is changes it: %v", err)
	}
}
