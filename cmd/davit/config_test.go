package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"davit/compose"
)

// world is a console without a terminal, with variables of its own.
func world(variables map[string]string) (*console, *bytes.Buffer, *bytes.Buffer) {
	out, err := new(bytes.Buffer), new(bytes.Buffer)
	return &console{
		In: strings.NewReader(""), Out: out, Err: err, Actor: "ada", Root: true,
		Getenv: func(name string) string { return variables[name] },
		Environ: func() (pairs []string) {
			for name, value := range variables {
				pairs = append(pairs, name+"="+value)
			}
			return pairs
		},
		Now: func() time.Time { return time.Date(2026, 11, 21, 5, 0, 0, 0, time.UTC) },
	}, out, err
}

// loadConfig loads what a file, variables and flags say together.
func loadConfig(t *testing.T, file string, variables map[string]string, args ...string) (Config, error) {
	t.Helper()
	c, _, _ := world(variables)
	var loaded Config
	cmd := &cobra.Command{Use: "test", SilenceErrors: true, SilenceUsage: true}
	options := c.configure(cmd, append(hostSettings(), agentSettings()...)...)
	cmd.RunE = func(*cobra.Command, []string) (err error) {
		loaded, err = options.load()
		return err
	}
	if file != "" {
		path := filepath.Join(t.TempDir(), "davit.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	cmd.SetArgs(args)
	err := cmd.Execute()
	return loaded, err
}

func TestFlagWinsOverVariableOverFileOverDefault(t *testing.T) {
	const file = "interval: 3m\nbranch: from-file\nenv: {A: file, B: file}\nkeep_releases: 7\nwebhook: [{url: https://file.example}]\n"
	type M = map[string]string
	tests := map[string]struct {
		file      string
		variables M
		args      []string
		get       func(Config) any
		want      any
	}{
		"default":                     {"", nil, nil, func(c Config) any { return c.Interval }, "30s"},
		"file over default":           {file, nil, nil, func(c Config) any { return c.Interval }, "3m"},
		"variable over file":          {file, M{"DAVIT_INTERVAL": "2m"}, nil, func(c Config) any { return c.Interval }, "2m"},
		"flag over variable":          {file, M{"DAVIT_INTERVAL": "2m"}, []string{"--interval", "1m"}, func(c Config) any { return c.Interval }, "1m"},
		"empty variable says nothing": {file, M{"DAVIT_INTERVAL": ""}, nil, func(c Config) any { return c.Interval }, "3m"},
		"the last of two flags":       {"", nil, []string{"--path", "a", "--path", "b"}, func(c Config) any { return c.Path }, "b"},
		"selector replaces selector":  {file, nil, []string{"--semver", ">=1"}, func(c Config) any { return []string{c.Branch, c.Semver} }, []string{"", ">=1"}},
		"variable replaces selector":  {file, M{"DAVIT_TAG": "v1"}, nil, func(c Config) any { return []string{c.Branch, c.Tag} }, []string{"", "v1"}},
		"list replaces list":          {file, nil, []string{"--env", "C=flag", "--env", "D=x=y"}, func(c Config) any { return c.Env }, M{"C": "flag", "D": "x=y"}},
		"list of a variable":          {file, M{"DAVIT_ENV": "C=1\nD=2"}, nil, func(c Config) any { return c.Env }, M{"C": "1", "D": "2"}},
		"list of the file":            {file, nil, nil, func(c Config) any { return c.Env }, M{"A": "file", "B": "file"}},
		"webhook of a flag":           {file, nil, []string{"--webhook", "url=https://x.example,secret_file=/s,events=Held|Stalled"}, func(c Config) any { return c.Webhooks }, []Webhook{{"", "https://x.example", "/s", []string{"Held", "Stalled"}}}},
		"windows of the file": {"window: [{allow: '0 2 * * 1,3', for: 2h, timezone: UTC}, {deny: '@monthly', for: 60}]", nil, nil, func(c Config) any { return c.Windows },
			compose.Windows{{Cron: "0 2 * * 1,3", For: 2 * time.Hour, Zone: "UTC"}, {Deny: true, Cron: "@monthly", For: time.Minute}}},
		"window of a flag": {"window: [{deny: '@monthly', for: 1h}]", nil, []string{"--window", "allow=0 2 * * 1,3; for=2h;timezone=UTC"}, func(c Config) any { return c.Windows },
			compose.Windows{{Cron: "0 2 * * 1,3", For: 2 * time.Hour, Zone: "UTC"}}},
		"number of the file":          {file, nil, nil, func(c Config) any { return c.KeepReleases }, 7},
		"switch":                      {"", nil, []string{"--prerelease"}, func(c Config) any { return c.Prerelease }, true},
		"switch of a variable":        {"", M{"DAVIT_PRERELEASE": "true"}, nil, func(c Config) any { return c.Prerelease }, true},
		"switched off by a flag":      {"prerelease: true", nil, []string{"--prerelease=false"}, func(c Config) any { return c.Prerelease }, false},
		"engine of docker's variable": {"", M{"DOCKER_HOST": "tcp://h:1"}, nil, func(c Config) any { return c.Engine }, "tcp://h:1"},
		"engine over docker's":        {"", M{"DOCKER_HOST": "tcp://h:1", "DAVIT_ENGINE": "unix:///x"}, nil, func(c Config) any { return c.Engine }, "unix:///x"},
		"data of root":                {"", nil, nil, func(c Config) any { return c.Data }, "/var/lib/davit"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := loadConfig(t, test.file, test.variables, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if got := test.get(c); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestConfigurationMistakesAreNamedWithTheirPlace(t *testing.T) {
	tests := map[string]struct {
		file      string
		variables map[string]string
		args      []string
		says      []string
	}{
		"unknown key":            {"repo: /r\nintervall: 3m\n", nil, nil, []string{`davit.yaml:2: unknown key "intervall"`}},
		"dash for underscore":    {"env-dir: /x\n", nil, nil, []string{"did you mean env_dir?"}},
		"several at once":        {"foo: 1\nkeep_releases: no\nlog_format: xml\n", nil, []string{"--interval", "soon"}, []string{":1:", ":2: keep_releases", ":3: log_format", "--interval"}},
		"given twice":            {"path: a\npath: b\n", nil, nil, []string{":2: path: given twice"}},
		"two selectors in file":  {"branch: a\ntag: b\n", nil, nil, []string{":2: tag: branch and tag exclude each other"}},
		"two selectors in flags": {"", nil, []string{"--branch", "a", "--commit", "b"}, []string{"branch and commit exclude each other"}},
		"list for a value":       {"repo: [a]\n", nil, nil, []string{":1: repo: must have one plain value"}},
		"empty value":            {"repo:\n", nil, nil, []string{":1: repo: must have one plain value"}},
		"not a mapping":          {"- repo\n", nil, nil, []string{"must have keys and values"}},
		"not YAML":               {"repo: 'x\n", nil, nil, []string{"davit.yaml"}},
		"variable":               {"", map[string]string{"DAVIT_KEEP_RELEASES": "0"}, nil, []string{"DAVIT_KEEP_RELEASES", "not a number from 1"}},
		"password in the URL":    {"repo: https://u:p@h/r\n", nil, nil, []string{"holds a password"}},
		"unknown event":          {"webhook: [{url: 'https://h', events: [Hold]}]\n", nil, nil, []string{`no event is called "Hold"`}},
		"unknown webhook key":    {"webhook:\n  - url: https://h\n    secret: x\n", nil, nil, []string{`:3: unknown key "secret"`}},
		"webhook without host":   {"", nil, []string{"--webhook", "url=ftp://h"}, []string{"not an http or https address"}},
		"window without length":  {"window:\n  - allow: '@daily'\n", nil, nil, []string{":2: window: needs for"}},
		"window of a bad line":   {"window: [{allow: '0 25 * * *', for: 1h}]\n", nil, nil, []string{`:1: window: allow: "0 25 * * *" is no cron line`}},
		"window twice allowed":   {"", nil, []string{"--window", "allow=@daily;allow=@daily;for=1h"}, []string{"each once"}},
		"windows for window":     {"windows: []\n", nil, nil, []string{"did you mean window?"}},
		"password without user":  {"password_file: p\n", nil, nil, []string{"needs username"}},
		"env without a value":    {"", nil, []string{"--env", "A"}, []string{"not NAME=VALUE"}},
		"env with a bad name":    {"", nil, []string{"--env", "A B=1"}, []string{"not a variable's name"}},
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

func TestPathsInTheFileAreRelativeToIt(t *testing.T) {
	c, err := loadConfig(t, "token_file: secrets/token\nenv_dir: /abs\nwebhook: [{url: 'https://h', secret_file: s}]\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(filepath.Dir(c.TokenFile))
	if !filepath.IsAbs(dir) || c.EnvDir != "/abs" || c.Webhooks[0].SecretFile != filepath.Join(dir, "s") {
		t.Errorf("got %s, %s, %s", c.TokenFile, c.EnvDir, c.Webhooks[0].SecretFile)
	}
}

func TestMisspeltVariablesAreFound(t *testing.T) {
	c, _, _ := world(map[string]string{"DAVIT_INTERVALL": "1m", "DAVIT_VERSION": "1", "DAVIT_DATA": "/x", "HOME": "/"})
	if got := c.unknownVariables(); !reflect.DeepEqual(got, []string{"DAVIT_INTERVALL"}) {
		t.Errorf("got %v", got)
	}
}

func FuzzConfigurationFile(f *testing.F) {
	f.Add("repo: /r\nbranch: main\nenv: {A: b}\nwebhook: [{url: 'https://h', events: [Held]}]\n")
	f.Add("a: &a [*a]\nrepo: *a\n")
	f.Add("? [x]\n: y\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "c")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var c Config
		for _, err := range readFile(path, &c) {
			if err.Error() == "" {
				t.Error("a mistake without text")
			}
		}
	})
}
