package gitsource

import (
	"strings"
	"testing"
)

func TestAddressesThatAreUnderstood(t *testing.T) {
	for raw, want := range map[string]string{
		"https://example.org/a/shop.git":          "https://example.org/a/shop.git",
		"HTTPS://ada@example.org:8443/shop":       "https://example.org:8443/shop",
		"http://[::1]:80/shop.git":                "http://[::1]:80/shop.git",
		"ssh://git@example.org:2222/srv/shop.git": "ssh://example.org:2222/srv/shop.git",
		"ssh://example.org/~ada/shop.git":         "ssh://example.org/~ada/shop.git",
		"git@example.org:a/shop.git":              "ssh://example.org/a/shop.git",
		"example.org:/srv/shop.git":               "ssh://example.org/srv/shop.git",
		"/srv/../srv/shop.git/":                   "/srv/shop.git",
		"file:///srv/shop.git":                    "/srv/shop.git",
		"file://localhost/srv/shop":               "/srv/shop",
	} {
		if got, err := parseAddress(raw); err != nil || got.String() != want {
			t.Errorf("parseAddress(%q) = %q, %v, want %q", raw, got, err, want)
		}
	}
	a, err := parseAddress("git@example.org:a/shop.git")
	if err != nil || a.user != "git" || a.host != "example.org" || a.path != "a/shop.git" || a.scheme.String() != "ssh" {
		t.Errorf("address = %+v, %v", a, err)
	}
}

func TestAddressesThatAreRefused(t *testing.T) {
	for _, raw := range []string{
		"", "-oProxyCommand=x", "shop.git", "./shop.git", "../shop.git", "~/shop.git",
		"git://example.org/shop.git", "ftp://example.org/x", "ext::sh -c id", "ext://sh", "javascript://x/y", "fd::17/x",
		"https://", "https:///shop.git", "https://example.org", "https://example.org/", "https://-x/shop.git",
		"https://example.org:0/x", "https://example.org:99999/x", "https://example.org/x?y=z", "https://example.org/x#y",
		"ssh://-oProxyCommand=id/x", "ssh://-l@example.org/x", "git@-x:shop.git", "git@example.org:-x", "git@example.org:", "@example.org:x",
		"ada:secret@example.org/shop.git", "https://a:b@example.org/x",
		"file://example.org/srv/shop.git", "file://srv", "file://ada@localhost/srv",
		"https://example.org/a\nb", "https://example.org/a%00b", "https://example.org/a%0ab", "ssh://gi%0at@example.org/a", "/srv/\x00",
		"https://" + strings.Repeat("a", 3000),
	} {
		if a, err := parseAddress(raw); err == nil {
			t.Errorf("parseAddress(%q) = %+v", raw, a)
		}
	}
}

func TestPathIsOneWordForAShell(t *testing.T) {
	for path, want := range map[string]string{
		"/srv/shop.git": "'/srv/shop.git'",
		"/a'; id; '":    `'/a'\''; id; '\'''`,
		"/a!b":          `'/a'\!'b'`,
	} {
		if got := quote(path); got != want {
			t.Errorf("quote(%q) = %s, want %s", path, got, want)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"https://a:b@h/p", "git@h:p", "/p", "file:///p", "ssh://h:22/p", "h:[x]:1", "https://[::1%25eth0]/p"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		a, err := parseAddress(raw)
		if err != nil {
			return
		}
		if strings.HasPrefix(a.host, "-") || strings.HasPrefix(a.path, "-") || strings.ContainsAny(a.String(), "\x00\n") {
			t.Errorf("dangerous address %+v", a)
		}
		again, err := parseAddress(a.String())
		if a.scheme == schemeLocal && (err != nil || again != a) {
			t.Errorf("%+v is printed as %q and read as %+v, %v", a, a, again, err)
		}
		if dir := identity(a, Options{}); strings.ContainsAny(dir, "/.") || len(dir) > 60 {
			t.Errorf("directory %q", dir)
		}
	})
}
