package compose

import (
	"strings"
	"testing"
)

func TestAFirstContainerGetsWhatTheServiceHasWithItsFilesReadIn(t *testing.T) {
	p := loaded(t, map[string]string{
		"compose.yaml": `
services:
  web:
    image: app:1
    env_file: web.env
    environment: {OWN: service, BARE: }
    pre_start:
      - command: [migrate]
        environment: {OWN: hook}
        user: root
`, "web.env": "FROM_FILE=yes\n", ".env": "BARE=filled\n"})
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	stored, err := Unmarshal(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*Project{"loaded": p, "stored": stored} {
		s, _ := p.Service("web")
		if len(s.Config.PreStart) != 1 {
			t.Fatalf("%s: hooks %+v", name, s.Config.PreStart)
		}
		h := s.Config.PreStart[0]
		got := map[string]string{}
		for k, v := range h.Environment {
			if v != nil {
				got[k] = *v
			}
		}
		if got["OWN"] != "hook" || got["FROM_FILE"] != "yes" || got["BARE"] != "filled" || h.Image != "app:1" || h.User != "root" || len(h.EnvFiles) > 0 {
			t.Errorf("%s: %+v, environment %v", name, h, got)
		}
	}
}

func TestAFirstContainerHasNothingThatDavitDoesNotKeep(t *testing.T) {
	for text, want := range map[string]string{
		"{image: other, command: a}":                "pre_start[0].image",
		"{command: a, per_replica: true}":           "pre_start[0].per_replica",
		"{command: a, volumes: ['/srv/x:/x']}":      "pre_start[0].volumes",
		"{command: a, secrets: [mine]}":             "pre_start[0].secrets",
		"{command: a, configs: [conf], user: root}": "pre_start[0].configs",
	} {
		root := write(t, map[string]string{"compose.yaml": "services:\n  web:\n    image: app:1\n    pre_start: [" + text + "]\n" +
			"secrets: {mine: {file: ./s}}\nconfigs: {conf: {file: ./s}}\n", "s": "x"})
		_, err := Load(t.Context(), find(t, root), options(root))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "not supported") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
