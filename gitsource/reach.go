package gitsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Reached is what a look at a repository found.
type Reached struct {
	// Source is the repository and the selector, without secrets.
	Source string
	// Ref and Commit are what the selector chooses now.
	Ref, Commit string
	// Took is how long the listing took.
	Took time.Duration
}

// Reach lists the repository as a poll would, with its credentials and its
// deadline, and says what would be selected. It fetches nothing, writes nothing
// and takes nothing away from a Source of the same repository.
func Reach(ctx context.Context, o Options) (Reached, error) {
	o = o.withDefaults()
	at, err := parseAddress(o.URL)
	if err != nil {
		return Reached{}, err
	}
	if err := errors.Join(o.Selector.check(), o.Auth.check(at)); err != nil {
		return Reached{}, err
	}
	s := &Source{options: o, address: at, now: time.Now}
	begun := s.now()
	r, l, err := s.list(ctx)
	if err != nil {
		return Reached{Source: s.String()}, err
	}
	found := Reached{Source: s.String(), Took: s.now().Sub(begun)}
	if err := r.Close(); err != nil {
		return found, fmt.Errorf("end the conversation with %s: %w", at, err)
	}
	p, err := o.Selector.pick(l)
	if err != nil {
		return found, fmt.Errorf("list %s: %w", at, err)
	}
	found.Ref, found.Commit = p.ref, p.commit
	return found, nil
}

// KnownHost says whether the known_hosts file has a key of the repository's
// server. host is "" where none is needed, because SSH is not spoken.
func KnownHost(o Options) (host string, known bool, err error) {
	at, err := parseAddress(o.URL)
	if err != nil || at.scheme != schemeSSH {
		return "", false, err
	}
	host = net.JoinHostPort(at.host, strconv.Itoa(cmp.Or(at.port, defaultSSHPort)))
	if err := o.Auth.check(at); err != nil {
		return host, false, err
	}
	keys, err := Auth{KnownHostsFile: o.Auth.KnownHostsFile}.read()
	if err != nil {
		return host, false, err
	}
	return host, len(keys.hosts.HostKeys(host)) > 0, nil
}
