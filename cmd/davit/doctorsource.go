package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"davit/engine"
	"davit/gitsource"
)

// reached is how the repository is reached.
func (s Source) reached() gitsource.Options {
	return gitsource.Options{
		Name: s.Name, URL: s.Repo,
		Selector: gitsource.Selector{Branch: s.Branch, Tag: s.Tag, Semver: s.Semver, Commit: s.Commit, TagPrefix: s.TagPrefix, Prerelease: s.Prerelease},
		Auth: gitsource.Auth{TokenFile: s.TokenFile, Username: s.Username, PasswordFile: s.PasswordFile,
			SSHKeyFile: s.SSHKeyFile, PassphraseFile: s.SSHPassphraseFile, KnownHostsFile: s.KnownHostsFile, CAFile: s.CAFile},
	}
}

// eachSource makes a check of every repository at once: one that does not answer
// leaves the others their time.
func (d *doctor) eachSource(look func(s Source) []finding) (found []finding) {
	sources := d.config.followed()
	each := make([][]finding, len(sources))
	var wait sync.WaitGroup
	for i, s := range sources {
		wait.Go(func() { each[i] = look(s) })
	}
	wait.Wait()
	return slices.Concat(each...)
}

// knownHostsCheck asks whether the SSH server's key is on file.
func (d *doctor) knownHostsCheck(context.Context) []finding {
	const name = "known_hosts"
	return d.eachSource(func(s Source) []finding {
		host, known, err := gitsource.KnownHost(s.reached())
		switch {
		case err != nil:
			return failed(name, err, "")
		case host == "":
			return nil
		case !known:
			return one(name, levelFail, fmt.Sprintf("%s has no key of %s", s.KnownHostsFile, host),
				"add it with ssh-keyscan, and compare it with what the server's owner publishes: davit never learns one by itself")
		}
		return one(name, levelOK, host+" is in "+s.KnownHostsFile, "")
	})
}

// repositoryCheck lists each repository with the agent's own credentials.
func (d *doctor) repositoryCheck(ctx context.Context) []finding {
	const name = "repository"
	if len(d.config.followed()) == 0 {
		return one(name, levelWarn, "none given", "name it with --repo, or give the agent's configuration with --config")
	}
	return d.eachSource(func(s Source) []finding {
		found, err := d.reach(ctx, s.reached())
		if err != nil {
			return failed(name, err, "the same address, selector and credential files are what the agent uses")
		}
		return one(name, levelOK, fmt.Sprintf("%s: %s is %.7s, listed in %s", found.Source, found.Ref, found.Commit, found.Took.Round(time.Millisecond)), "")
	})
}

// How far clocks may be apart. Certificates and tokens bear minutes.
const (
	someSkew = 30 * time.Second
	muchSkew = 5 * time.Minute
)

// clockCheck compares this clock with those of the repositories' servers.
func (d *doctor) clockCheck(ctx context.Context) []finding {
	return d.eachSource(func(s Source) []finding { return d.clockOf(ctx, s.Repo) })
}

func (d *doctor) clockOf(ctx context.Context, repository string) []finding {
	u, err := url.Parse(repository)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil
	}
	begun := d.now()
	there, err := d.dates(ctx, u.Scheme+"://"+u.Host+"/")
	if err != nil {
		return nil // whether it can be reached has a check of its own
	}
	// The answer's time is from somewhere between the question and its arrival.
	here := begun.Add(d.now().Sub(begun) / 2)
	return []finding{skew("clock", here.Sub(there), "the clock of "+u.Host)}
}

// engineClock compares this clock with the engine's, which matters for an engine
// elsewhere.
func (d *doctor) engineClock(h engine.Host) []finding {
	if h.Clock.IsZero() || d.config.socket() != "" {
		return nil
	}
	return []finding{skew("engine clock", d.now().Sub(h.Clock), "the engine's clock")}
}

func skew(name string, by time.Duration, than string) finding {
	f := finding{Check: name, Level: levelOK, Seen: fmt.Sprintf("within %s of %s", by.Abs().Round(time.Second), than)}
	if by.Abs() < someSkew {
		return f
	}
	f.Level, f.Advice = levelWarn, "let the clocks be set by NTP"
	f.Seen = fmt.Sprintf("%s off %s", by.Abs().Round(time.Second), than)
	if by.Abs() >= muchSkew {
		f.Level, f.Advice = levelFail, "certificates and tokens are refused like this: let the clocks be set by NTP"
	}
	return f
}

// dateOf asks a web server for the time.
func dateOf(ctx context.Context, address string) (time.Time, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return time.Time{}, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	// Any answer will do, a redirect too.
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		return time.Time{}, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<10))
	return http.ParseTime(answer.Header.Get("Date"))
}
