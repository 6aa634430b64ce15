package gitsource

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestReachingARepositoryFetchesAndWritesNothing(t *testing.T) {
	r := newRepo(t)
	commit := r.push("main", map[string]string{"a": "1"})
	web, shell := serveHTTP(t, r), serveSSH(t)
	wrong := shell.auth
	wrong.KnownHostsFile = write(t, "")
	for name, tt := range map[string]struct {
		options Options
		want    string // of the error; "" for none
	}{
		"over http":           {Options{URL: web.url()}, ""},
		"over SSH":            {Options{URL: "ssh://git@" + shell.addr + r.dir, Auth: shell.auth}, ""},
		"a directory":         {Options{URL: r.dir}, ""},
		"a branch of none":    {Options{URL: web.url(), Selector: Selector{Branch: "nope"}}, "nope"},
		"no repository":       {Options{URL: r.dir + "x"}, "x"},
		"an unknown host key": {Options{URL: "ssh://git@" + shell.addr + r.dir, Auth: wrong}, "known_hosts"},
		"no address":          {Options{URL: "ftp://x"}, "ftp"},
		"no way to log in":    {Options{URL: "ssh://git@" + shell.addr + r.dir}, "known_hosts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			got, err := Reach(t.Context(), tt.options)
			if tt.want == "" && (err != nil || got.Commit != commit || !strings.Contains(got.Ref, "main")) {
				t.Errorf("Reach() = %+v, %v", got, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
			if left, err := os.ReadDir("."); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
	if n := web.fetches(); n != 0 {
		t.Errorf("%d fetches", n)
	}
}

func TestKnownHostsAreLookedUpWithoutSpeakingToThem(t *testing.T) {
	const key = " ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n"
	for name, tt := range map[string]struct {
		url, hosts string
		host       string
		known      bool
	}{
		"not SSH":              {"https://git.example/ops", "", "", false},
		"known":                {"git@git.example:ops", "git.example" + key, "git.example:22", true},
		"known at a port":      {"ssh://git@git.example:2222/ops", "[git.example]:2222" + key, "git.example:2222", true},
		"known at another one": {"ssh://git@git.example:2222/ops", "git.example" + key, "git.example:2222", false},
		"unknown":              {"git@git.example:ops", "other.example" + key, "git.example:22", false},
		"nobody is known":      {"git@git.example:ops", "", "git.example:22", false},
	} {
		t.Run(name, func(t *testing.T) {
			host, known, err := KnownHost(Options{URL: tt.url, Auth: Auth{SSHKeyFile: "unread", KnownHostsFile: write(t, tt.hosts)}})
			if host != tt.host || known != tt.known || err != nil {
				t.Errorf("%q %t %v", host, known, err)
			}
		})
	}
	_, _, err := KnownHost(Options{URL: "git@git.example:ops", Auth: Auth{SSHKeyFile: "unread", KnownHostsFile: "/nowhere"}})
	if !errors.Is(err, ErrCredentials) {
		t.Errorf("of no file: %v", err)
	}
}
