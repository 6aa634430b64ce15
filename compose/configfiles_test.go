package compose

import "testing"

func TestTheFilesOfALabelAreTheStacksOwn(t *testing.T) {
	files := map[string]string{
		"apps/shop/compose.yaml":          "include: [../common.yaml]\nservices: {a: {image: a}}",
		"apps/shop/compose.override.yaml": "services: {a: {user: b}}",
		"apps/common.yaml":                "services: {c: {image: c}}",
	}
	root := write(t, files)
	p, err := Load(t.Context(), find(t, root), options(root))
	if err != nil {
		t.Fatal(err)
	}
	want := p.WorkingDir + "/compose.yaml," + p.WorkingDir + "/compose.override.yaml"
	if got := p.ConfigFiles(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	raw, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	stored, err := Unmarshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got := stored.ConfigFiles(); got != want {
		t.Errorf("stored: got %s, want %s", got, want)
	}
	stored.Origin = &Origin{ConfigFiles: "/home/me/compose.yml"}
	if got := stored.ConfigFiles(); got != "/home/me/compose.yml" {
		t.Errorf("adopted: got %s", got)
	}
	old := Project{WorkingDir: "/srv/shop", Files: []string{"compose.yaml", "/etc/x.yaml"}}
	if got := old.ConfigFiles(); got != "/srv/shop/compose.yaml,/etc/x.yaml" {
		t.Errorf("stored without its own files: got %s", got)
	}
}
