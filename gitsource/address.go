package gitsource

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"davit/reconcile"
)

// address is a repository's place, parsed and free of secrets.
type address struct {
	scheme scheme
	user   string // "" if the URL names none
	host   string // without brackets
	port   int    // 0 for the scheme's own
	path   string
}

type scheme int

const (
	schemeHTTPS scheme = iota
	schemeHTTP
	schemeSSH
	schemeLocal
)

func (s scheme) String() string {
	return [...]string{"https", "http", "ssh", "file"}[s]
}

// String is the address without its user, for people, logs and records.
func (a address) String() string {
	if a.scheme == schemeLocal {
		return a.path
	}
	path := a.path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return a.scheme.String() + "://" + a.authority() + path
}

// authority is host and port as a URL writes them.
func (a address) authority() string {
	host := a.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if a.port != 0 {
		host += ":" + strconv.Itoa(a.port)
	}
	return host
}

// loopback reports whether the host is this machine by name or number.
func (a address) loopback() bool {
	ip := net.ParseIP(a.host)
	return a.host == "localhost" || ip != nil && ip.IsLoopback()
}

const maxURL = 2048 // bytes

// parseAddress reads a repository URL. Its errors never repeat the URL, which
// may hold a password.
func parseAddress(raw string) (address, error) {
	switch {
	case raw == "":
		return address{}, errors.New("parse repository URL: it is empty")
	case len(raw) > maxURL:
		return address{}, errors.New("parse repository URL: it is too long")
	case strings.HasPrefix(raw, "-"):
		return address{}, errors.New("parse repository URL: it begins with '-'")
	case strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }):
		return address{}, errors.New("parse repository URL: it holds control characters")
	case strings.HasPrefix(raw, "/"):
		return address{scheme: schemeLocal, path: filepath.Clean(raw)}, nil
	case strings.Contains(raw, "://"):
		return parseURL(raw)
	}
	return parseSCP(raw)
}

func parseURL(raw string) (address, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The error's text quotes parts of the URL.
		return address{}, errors.New("parse repository URL: it is malformed")
	}
	a := address{user: u.User.Username(), host: u.Hostname(), path: u.Path}
	switch strings.ToLower(u.Scheme) {
	case "https":
		a.scheme = schemeHTTPS
	case "http":
		a.scheme = schemeHTTP
	case "ssh":
		a.scheme = schemeSSH
	case "file":
		a.scheme = schemeLocal
	default:
		return address{}, reconcile.WithHint(
			fmt.Errorf("parse repository URL: scheme %q is not supported", clean(u.Scheme, 20)),
			"use https, ssh or an absolute path")
	}
	if _, secret := u.User.Password(); secret {
		return address{}, reconcile.WithHint(errors.New("parse repository URL: it holds a password"),
			"put the secret in a file and name it as the token or password file")
	}
	if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return address{}, errors.New("parse repository URL: it has a query or a fragment")
	}
	if a.scheme == schemeLocal {
		return localAddress(a)
	}
	if p := u.Port(); p != "" {
		if a.port, err = strconv.Atoi(p); err != nil || a.port < 1 || a.port > 65535 {
			return address{}, errors.New("parse repository URL: its port is not between 1 and 65535")
		}
	}
	return a, a.check()
}

func localAddress(a address) (address, error) {
	if a.host != "" && a.host != "localhost" || a.user != "" {
		return address{}, errors.New("parse repository URL: a file URL has no host")
	}
	if !strings.HasPrefix(a.path, "/") {
		return address{}, errors.New("parse repository URL: the path is not absolute")
	}
	return address{scheme: schemeLocal, path: filepath.Clean(a.path)}, nil
}

// parseSCP reads [user@]host:path. What Git takes for a remote helper
// ("ext::command") is no address.
func parseSCP(raw string) (address, error) {
	host, path, ok := strings.Cut(raw, ":")
	if !ok || strings.Contains(host, "/") {
		return address{}, reconcile.WithHint(errors.New("parse repository URL: it is neither a URL nor an absolute path"),
			"write https://host/path, ssh://user@host/path, user@host:path or /path")
	}
	a := address{scheme: schemeSSH, host: host, path: path}
	if user, rest, ok := strings.Cut(host, "@"); ok {
		if user == "" {
			return address{}, errors.New("parse repository URL: it has no user name before the '@'")
		}
		a.user, a.host = user, rest
	}
	if strings.HasPrefix(path, ":") {
		return address{}, errors.New("parse repository URL: remote helpers are not supported")
	}
	// "user:password@host/path": a URL without its scheme, whose password must
	// not be taken for a path and printed.
	if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, "@") {
		return address{}, errors.New("parse repository URL: it has an '@' after the colon")
	}
	return a, a.check()
}

func (a address) check() error {
	switch {
	case a.host == "" || strings.ContainsAny(a.host, "@/ \\"):
		return errors.New("parse repository URL: it has no valid host")
	case strings.HasPrefix(a.host, "-") || strings.HasPrefix(a.path, "-") || strings.HasPrefix(a.user, "-"):
		return errors.New("parse repository URL: host, user or path begins with '-'")
	case strings.Trim(a.path, "/") == "":
		return errors.New("parse repository URL: it has no path")
	case strings.ContainsFunc(a.path+a.user, unicode.IsControl):
		return errors.New("parse repository URL: it holds control characters")
	case strings.ContainsAny(a.user, ":@/"):
		return errors.New("parse repository URL: its user name is not valid")
	}
	return nil
}
