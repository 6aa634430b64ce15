package main

import (
	"reflect"
	"strings"
	"testing"
)

const twoSources = `
keep_releases: 5
sources:
  - name: ops
    repo: https://git.example/ops
    semver: ">=1 <2"
    env: {DOMAIN: ops.example}
    env_dir: env
    token_file: token
  - name: till
    repo: https://git.example/till
    path: stacks
    interval: 5m
`

func TestEachSourceHasItsOwnSettings(t *testing.T) {
	c, err := loadConfig(t, twoSources, map[string]string{"DAVIT_DATA": "/data"}, "--parallel", "3")
	if err != nil {
		t.Fatal(err)
	}
	sources := c.followed()
	if got := names(sources); !reflect.DeepEqual(got, []string{"ops", "till"}) {
		t.Fatalf("sources %v", got)
	}
	ops, till := sources[0], sources[1]
	if ops.Repo != "https://git.example/ops" || ops.Semver != ">=1 <2" || ops.Path != "." || ops.Interval != "30s" || ops.Env["DOMAIN"] != "ops.example" {
		t.Errorf("ops is %+v", ops)
	}
	if !strings.HasSuffix(ops.EnvDir, "/env") || !strings.HasSuffix(ops.TokenFile, "/token") {
		t.Errorf("paths %s and %s are not the file's own", ops.EnvDir, ops.TokenFile)
	}
	if till.Repo != "https://git.example/till" || till.Semver != "" || till.Path != "stacks" || till.Interval != "5m" || till.Env != nil || till.EnvDir != "" {
		t.Errorf("till is %+v", till)
	}
	for _, s := range sources {
		if s.Data != "/data" || s.KeepReleases != 5 || s.Parallel != 3 || len(s.Sources) > 0 {
			t.Errorf("%s does not have what all have in common: %+v", s.Name, s)
		}
	}
}

func TestOneRepositoryIsASourceWithoutAName(t *testing.T) {
	c, err := loadConfig(t, "repo: https://git.example/ops\n", nil)
	if err != nil || len(c.followed()) != 1 || c.followed()[0].Name != "" || c.followed()[0].Repo != c.Repo {
		t.Errorf("followed %+v, %v", c.followed(), err)
	}
	if none, err := loadConfig(t, "", nil); err != nil || len(none.followed()) != 0 {
		t.Errorf("followed %+v, %v", none.followed(), err)
	}
}

func TestMistakesInSourcesAreNamedWithTheirPlace(t *testing.T) {
	tests := map[string]struct {
		file      string
		variables map[string]string
		args      []string
		says      []string
	}{
		"both forms":            {"path: x\n" + twoSources, nil, nil, []string{"sources excludes path"}},
		"a flag beside sources": {twoSources, nil, []string{"--branch", "main"}, []string{"sources excludes branch"}},
		"a variable beside":     {twoSources, map[string]string{"DAVIT_REPO": "/r"}, nil, []string{"sources excludes repo"}},
		"no list":               {"sources: {name: a}\n", nil, nil, []string{":1: sources: must be a list"}},
		"an empty list":         {"sources: []\n", nil, nil, []string{":1: sources: must be a list"}},
		"no names":              {"sources: [{repo: /r}]\n", nil, nil, []string{":1: a source needs a name"}},
		"no repository":         {"sources: [{name: a}]\n", nil, nil, []string{":1: source a: repo is missing"}},
		"a bad name":            {"sources: [{name: A/B, repo: /r}]\n", nil, nil, []string{`name: "A/B" is none`}},
		"a name given twice":    {"sources:\n- {name: a, repo: /r}\n- {name: a, repo: /s}\n", nil, nil, []string{`:3: name: the source in line 2 is called "a", too`}},
		"an unknown key":        {"sources:\n- name: a\n  repo: /r\n  brnch: x\n", nil, nil, []string{`:4: unknown key "brnch"`}},
		"a key of the host":     {"sources:\n- name: a\n  repo: /r\n  data: /x\n", nil, nil, []string{`:4: unknown key "data"`}},
		"sources in a source":   {"sources:\n- name: a\n  repo: /r\n  sources: []\n", nil, nil, []string{`:4: unknown key "sources"`}},
		"two selectors":         {"sources:\n- name: a\n  repo: /r\n  tag: v1\n  branch: b\n", nil, nil, []string{":5: branch: tag and branch exclude each other"}},
		"a bad value":           {"sources:\n- name: a\n  repo: /r\n  interval: soon\n", nil, nil, []string{":4: interval:"}},
		"a password in a URL":   {"sources:\n- name: a\n  repo: https://u:p@h/r\n", nil, nil, []string{"source a: repo: the URL holds a password"}},
		"several at once":       {"sources:\n- name: a\n- repo: /r\n  foo: 1\n", nil, nil, []string{":2: source a: repo is missing", ":3: a source needs a name", ":4: unknown key"}},
		"no entry":              {"sources: [text]\n", nil, nil, []string{":1: a source must have keys and values"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := loadConfig(t, test.file, test.variables, test.args...)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "u:p@") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestADirectoryTakesThePlaceOfOneSource(t *testing.T) {
	c, err := loadConfig(t, twoSources, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.standIn("till"); err != nil || s.Path != "stacks" {
		t.Errorf("till: %+v, %v", s, err)
	}
	for name, want := range map[string]string{"": "has 2 sources", "nope": `no source is called "nope"`} {
		if _, err := c.standIn(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
	if s, err := (Config{Path: "x"}).standIn(""); err != nil || s.Path != "x" || s.Name != "" {
		t.Errorf("without sources: %+v, %v", s, err)
	}
}
