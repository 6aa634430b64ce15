package compose

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestHooksAreReadWithTheirLimits(t *testing.T) {
	p := load(t, one(`services:
  web:
    image: shop:1
    x-davit:
      hooks:
        pre_deploy: [{run: [/app, migrate, 2], timeout: 5m, irreversible: true}, {run: [/app], timeout: 30, on_rollback: run}]
        post_deploy: [{run: [/app, "it's done"], timeout: 1m, on_rollback: skip}]
        on_failure: [{run: [/app, tell], timeout: 10s}]
`))
	want := Hooks{
		PreDeploy: []ReleaseHook{
			{Run: []string{"/app", "migrate", "2"}, Timeout: 5 * time.Minute, Irreversible: true},
			{Run: []string{"/app"}, Timeout: 30 * time.Second, OnRollback: true},
		},
		PostDeploy: []ReleaseHook{{Run: []string{"/app", "it's done"}, Timeout: time.Minute}},
		OnFailure:  []ReleaseHook{{Run: []string{"/app", "tell"}, Timeout: 10 * time.Second}},
	}
	stored, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Unmarshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	for what, p := range map[string]*Project{"loaded": p, "stored": again} {
		if got := p.Services[0].Settings.Hooks; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
}

func TestMistakesInHooksNameTheirPlace(t *testing.T) {
	for name, c := range map[string]struct{ hooks, rest, want string }{
		"no limit":                {"pre_deploy: [{run: [/app]}]", "", "hooks.pre_deploy[0].timeout: missing"},
		"no command":              {"post_deploy: [{timeout: 1m}]", "", "hooks.post_deploy[0].run: missing"},
		"the second of two":       {"pre_deploy: [{run: [/app], timeout: 1m}, {run: [], timeout: 1m}]", "", "hooks.pre_deploy[1].run: must be a list"},
		"a shell's line":          {"pre_deploy: [{run: /app migrate, timeout: 1m}]", "", "hooks.pre_deploy[0].run: must be a list"},
		"a list in a list":        {"pre_deploy: [{run: [/app, [x]], timeout: 1m}]", "", "hooks.pre_deploy[0].run[1]: must be a word"},
		"a limit of nothing":      {"pre_deploy: [{run: [/app], timeout: 0s}]", "", "hooks.pre_deploy[0].timeout: 0s is out of range"},
		"an unknown phase":        {"before: []", "", "hooks.before: unknown key: there are on_failure, post_deploy, pre_deploy"},
		"an unknown key":          {"pre_deploy: [{run: [/app], timeout: 1m, user: root}]", "", "hooks.pre_deploy[0].user: unknown key"},
		"no list":                 {"pre_deploy: {run: [/app], timeout: 1m}", "", "hooks.pre_deploy: must be a list of commands"},
		"no mapping":              {"pre_deploy: [migrate]", "", "hooks.pre_deploy[0]: must be a mapping"},
		"an unknown word":         {"pre_deploy: [{run: [/app], timeout: 1m, on_rollback: always}]", "", "hooks.pre_deploy[0].on_rollback: must be run or skip"},
		"irreversible mourning":   {"on_failure: [{run: [/app], timeout: 1m, irreversible: true}]", "", "hooks.on_failure[0].irreversible: unknown key"},
		"somebody else's network": {"pre_deploy: [{run: [/app], timeout: 1m}]", "    network_mode: service:db\n", "hooks: of a service with network_mode service:db: not supported"},
		"somebody else's volumes": {"pre_deploy: [{run: [/app], timeout: 1m}]", "    volumes_from: [db]\n", "hooks: of a service with volumes_from: not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			text := "services:\n  db: {image: db}\n  web:\n    image: shop:1\n" + c.rest + "    x-davit:\n      hooks: {" + c.hooks + "}\n"
			root := write(t, one(text))
			_, err := Load(t.Context(), find(t, root), options(root))
			if err == nil || !strings.Contains(err.Error(), "services.web.x-davit."+c.want) || !strings.Contains(err.Error(), "compose.yaml:") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestHooksAreNoPartOfWhatContainersAreMadeOf(t *testing.T) {
	plain := "services:\n  web: {image: \"shop:1\"}\n"
	a := load(t, one(plain))
	b := load(t, one(strings.Replace(plain, "}", ", x-davit: {hooks: {pre_deploy: [{run: [/app], timeout: 1m}]}}}", 1)))
	if a.Services[0].Hash != b.Services[0].Hash || a.Services[0].ConfigHash != b.Services[0].ConfigHash {
		t.Error("hooks alone would make containers anew")
	}
	if a.Hash == b.Hash {
		t.Error("a change of the hooks alone is no new content")
	}
}

func TestHooksOfAServiceWithoutReplicasAreNoted(t *testing.T) {
	p := load(t, one("services:\n  web: {image: \"shop:1\", scale: 0, x-davit: {hooks: {pre_deploy: [{run: [/app], timeout: 1m}]}}}\n"))
	if len(p.Notes) != 1 || p.Notes[0].Key != "services.web.x-davit.hooks" {
		t.Errorf("notes %v", p.Notes)
	}
}
