package gitsource

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"davit/reconcile"
)

func TestTokenIsReadAtEveryPoll(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": "1"})
	server := serveHTTP(t, r)
	server.setPassword("s3cret-1")
	file := write(t, "s3cret-1\n")
	s := open(t, Options{URL: server.url(), Auth: Auth{TokenFile: file}})
	poll(t, s)
	server.setPassword("s3cret-2")
	err := pollStalls(t, s, ErrAuth)
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %q holds the token", err)
	}
	must(t, os.WriteFile(file, []byte("s3cret-2"), 0o600))
	poll(t, s)
}

func TestAccessWithoutCredentialsIsRefusedWithAHint(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": "1"})
	server := serveHTTP(t, r)
	server.setPassword("s3cret")
	err := pollStalls(t, open(t, Options{URL: server.url()}), ErrAuth)
	if !strings.Contains(reconcile.Hint(err), "token file") {
		t.Errorf("hint %q", reconcile.Hint(err))
	}
}

func TestUserNamesThatServersSee(t *testing.T) {
	for want, o := range map[string]Options{
		"x-access-token": {Auth: Auth{TokenFile: write(t, "pw")}},
		"oauth2":         {Auth: Auth{TokenFile: write(t, "pw"), Username: "oauth2"}},
		"ada":            {Auth: Auth{PasswordFile: write(t, "pw"), Username: "ada"}},
	} {
		t.Run(want, func(t *testing.T) {
			var seen string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen, _, _ = r.BasicAuth()
				w.WriteHeader(http.StatusForbidden)
			}))
			defer server.Close()
			o.URL = server.URL + "/shop.git"
			pollStalls(t, open(t, o), ErrAuth)
			if seen != want {
				t.Errorf("the server saw %q", seen)
			}
		})
	}
}

func TestCredentialsFilesThatCannotBeUsedStall(t *testing.T) {
	server := serveSSH(t)
	_, key := keyPair(t)
	missing := filepath.Join(t.TempDir(), "missing")
	web := "https://127.0.0.1:1/shop.git"
	shell := "ssh://git@" + server.addr + "/shop.git"
	for name, tt := range map[string]struct {
		url  string
		auth Auth
	}{
		"a missing token":               {web, Auth{TokenFile: missing}},
		"an empty token":                {web, Auth{TokenFile: write(t, "\n")}},
		"a token of two lines":          {web, Auth{TokenFile: write(t, "a\nb\n")}},
		"a token without end":           {web, Auth{TokenFile: "/dev/zero"}},
		"certificates that are none":    {web, Auth{CAFile: write(t, "nothing")}},
		"a missing key":                 {shell, Auth{SSHKeyFile: missing, KnownHostsFile: server.auth.KnownHostsFile}},
		"a key that is none":            {shell, Auth{SSHKeyFile: write(t, "key"), KnownHostsFile: server.auth.KnownHostsFile}},
		"a missing known_hosts file":    {shell, Auth{SSHKeyFile: key, KnownHostsFile: missing}},
		"a known_hosts file of nothing": {shell, Auth{SSHKeyFile: key, KnownHostsFile: write(t, "a b\n")}},
		"a locked key":                  {shell, Auth{SSHKeyFile: lockedKey(t, "open sesame"), KnownHostsFile: server.auth.KnownHostsFile}},
		"a wrong passphrase":            {shell, Auth{SSHKeyFile: lockedKey(t, "open sesame"), PassphraseFile: write(t, "wrong"), KnownHostsFile: server.auth.KnownHostsFile}},
	} {
		t.Run(name, func(t *testing.T) {
			pollStalls(t, open(t, Options{URL: tt.url, Auth: tt.auth}), ErrCredentials)
		})
	}
}

func lockedKey(t *testing.T, passphrase string) string {
	t.Helper()
	_, file := keyPair(t)
	b, err := os.ReadFile(file)
	must(t, err)
	raw, err := ssh.ParseRawPrivateKey(b)
	must(t, err)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(raw, "", []byte(passphrase))
	must(t, err)
	return write(t, string(pem.EncodeToMemory(block)))
}

func TestLockedKeyOpensWithItsPassphrase(t *testing.T) {
	a := Auth{SSHKeyFile: lockedKey(t, "open sesame"), PassphraseFile: write(t, "open sesame\n")}
	keys, err := a.read()
	if err != nil || keys.signer == nil {
		t.Errorf("read() = %v, %v", keys.signer, err)
	}
}

func TestSSHServersAreStrictlyKnown(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": "1"})
	server := serveSSH(t)
	other, otherFile := keyPair(t)
	url := "ssh://git@" + server.addr + r.dir
	known := func(host string, key ssh.PublicKey) string {
		return write(t, knownhosts.Line([]string{host}, key)+"\n")
	}
	for name, tt := range map[string]struct {
		auth Auth
		want error
		hint string
	}{
		"another key for the server": {Auth{SSHKeyFile: server.auth.SSHKeyFile, KnownHostsFile: known(server.addr, other.PublicKey())}, ErrHostKey, "listening"},
		"a server that is not there": {Auth{SSHKeyFile: server.auth.SSHKeyFile, KnownHostsFile: known("example.org", other.PublicKey())}, ErrHostKey, "add its key"},
		"an empty known_hosts file":  {Auth{SSHKeyFile: server.auth.SSHKeyFile, KnownHostsFile: write(t, "")}, ErrHostKey, "add its key"},
		"a key nobody let in":        {Auth{SSHKeyFile: otherFile, KnownHostsFile: server.auth.KnownHostsFile}, ErrAuth, "deploy key"},
	} {
		t.Run(name, func(t *testing.T) {
			err := pollStalls(t, open(t, Options{URL: url, Auth: tt.auth}), tt.want)
			if !strings.Contains(reconcile.Hint(err), tt.hint) {
				t.Errorf("hint %q", reconcile.Hint(err))
			}
		})
	}
}

func TestConfigurationMistakesAreFoundAtOnce(t *testing.T) {
	file := write(t, "x")
	for name, o := range map[string]Options{
		"no URL":                          {},
		"no data directory":               {URL: "/srv/shop.git"},
		"ssh without known_hosts":         {URL: "git@example.org:shop.git", Data: t.TempDir(), Auth: Auth{SSHKeyFile: file}},
		"ssh without a key":               {URL: "git@example.org:shop.git", Data: t.TempDir(), Auth: Auth{KnownHostsFile: file}},
		"credentials over plain http":     {URL: "http://example.org/shop.git", Data: t.TempDir(), Auth: Auth{TokenFile: file}},
		"a token and a password":          {URL: "https://example.org/shop.git", Data: t.TempDir(), Auth: Auth{TokenFile: file, PasswordFile: file}},
		"a user name alone":               {URL: "https://example.org/shop.git", Data: t.TempDir(), Auth: Auth{Username: "ada"}},
		"a passphrase alone":              {URL: "https://example.org/shop.git", Data: t.TempDir(), Auth: Auth{PassphraseFile: file}},
		"two selectors":                   {URL: "/srv/shop.git", Data: t.TempDir(), Selector: Selector{Branch: "main", Tag: "v1"}},
		"a data directory that is a file": {URL: "/srv/shop.git", Data: file},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("New accepts %s", name)
		}
	}
}

func TestNoErrorOrLogHoldsWhatTheURLHid(t *testing.T) {
	const canary = "c4n4ry"
	var log bytes.Buffer
	for _, url := range []string{
		"https://user:" + canary + "@127.0.0.1:1/shop.git",
		"https://user:" + canary + "@127.0.0.1:bad/shop.git",
		"https://" + canary + ":%zz@host/shop.git",
		"ftp://" + canary + ":x@host/shop.git",
		"https://" + canary + "@127.0.0.1:1/shop.git",
		"https://" + canary + "@127.0.0.1:1/shop.git?token=" + canary,
		"ssh://user:" + canary + "@127.0.0.1:1/shop.git",
		canary + ":x@host",
	} {
		s, err := New(Options{URL: url, Data: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err == nil {
			_, err = s.Poll(t.Context())
			if strings.Contains(s.String(), canary) {
				t.Errorf("String() = %q", s)
			}
		}
		if err == nil || strings.Contains(err.Error()+reconcile.Hint(err)+log.String(), canary) {
			t.Errorf("error %v for a URL with a secret", err)
		}
	}
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	leaked := make(chan string, 10)
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked <- r.Header.Get("Authorization")
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(thief.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+r.URL.RequestURI(), http.StatusFound)
	}))
	t.Cleanup(server.Close)
	s := open(t, Options{URL: server.URL + "/shop.git", Auth: Auth{TokenFile: write(t, "s3cret")}})
	pollStalls(t, s, ErrRedirect)
	select {
	case h := <-leaked:
		t.Errorf("the other host was asked with %q", h)
	default:
	}
	// Without credentials there is nothing to lose.
	pollStalls(t, open(t, Options{URL: server.URL + "/shop.git"}), ErrRepositoryNotFound)
}

func TestRedirectOnTheSameHostIsFollowed(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": "1"})
	server := serveHTTP(t, r)
	server.setPassword("s3cret")
	server.intercept(func(w http.ResponseWriter, req *http.Request) bool {
		rest, moved := strings.CutPrefix(req.URL.RequestURI(), "/old")
		if moved {
			http.Redirect(w, req, rest, http.StatusMovedPermanently)
		}
		return moved
	})
	s := open(t, Options{URL: server.URL + "/old/shop.git", Auth: Auth{TokenFile: write(t, "s3cret")}})
	if got := poll(t, s); content(t, got, "a") != "1" {
		t.Errorf("got %s", got)
	}
}

func TestPrivateCertificateAuthorityIsTrustedOnlyWhenNamed(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": "1"})
	plain := serveHTTP(t, r)
	server := httptest.NewTLSServer(plain.Config.Handler)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	poll(t, open(t, Options{URL: server.URL + "/shop.git", Auth: Auth{CAFile: write(t, string(ca))}}))
	_, err := open(t, Options{URL: server.URL + "/shop.git"}).Poll(t.Context())
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Poll() = %v", err)
	}
}

func TestServersWordsAreUnderstood(t *testing.T) {
	for text, want := range map[string]error{
		"ERROR: Repository not found.":                                ErrRepositoryNotFound,
		"fatal: '/x' does not appear to be a git repository":          ErrRepositoryNotFound,
		"remote: The project you were looking for could not be found": ErrRepositoryNotFound,
		"git@host: Permission denied (publickey).":                    ErrAuth,
		"DENIED: access denied for repository":                        ErrAuth,
	} {
		s := open(t, Options{URL: "/srv/shop.git"})
		err := s.failure(t.Context(), deadline{what: "list"}, fmt.Errorf("open: %w", serverSaid(text)))
		if !errors.Is(err, want) {
			t.Errorf("%q means %v", text, err)
		}
	}
}
