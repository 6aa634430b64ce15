package gitsource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"davit/reconcile"
)

// Source polls one repository.
type Source struct {
	options Options
	address address
	shelf   shelf
	now     func() time.Time

	// polling is held during a poll; the fields below it belong to the poll.
	polling sync.Mutex
	current *kept
	refused refusal

	mu   sync.Mutex
	last reconcile.Revision
}

// refusal is a commit that was fetched in vain. It is not fetched again while
// nothing changes.
type refusal struct {
	key string
	err error
}

// New checks the options, clears what a crash left behind, and restores the last
// good revision. It does not speak to the repository.
func New(o Options) (*Source, error) {
	o = o.withDefaults()
	at, err := parseAddress(o.URL)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(o.Selector.check(), o.Auth.check(at)); err != nil {
		return nil, err
	}
	if o.Data == "" {
		return nil, errors.New("open source: no data directory given")
	}
	data, err := filepath.Abs(o.Data)
	if err != nil {
		return nil, fmt.Errorf("open source: %w", err)
	}
	shelf, err := openShelf(filepath.Join(data, "sources", identity(at, o)))
	if err != nil {
		return nil, fmt.Errorf("open source %s: %w", at, err)
	}
	s := &Source{options: o, address: at, shelf: shelf, now: time.Now}
	if last, k, ok := shelf.recall(context.Background()); ok {
		s.last, s.current = last, k
	}
	return s, nil
}

// identity names a source's directory. Another selector is another source, so
// that what it restores was selected by it; so is another name, since two polls
// never share a directory.
func identity(at address, o Options) string {
	s := o.Selector
	text := fmt.Appendf(nil, "%s\n%q %q %q %q %q %t", at, s.Branch, s.Tag, s.Semver, s.Commit, s.TagPrefix, s.Prerelease)
	if o.Name != "" {
		text = fmt.Appendf(text, "\n%s", o.Name)
	}
	sum := sha256.Sum256(text)
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.TrimSuffix(path.Base(at.path), ".git"))
	return name[:min(len(name), 40)] + "-" + hex.EncodeToString(sum[:6])
}

// String is the source for people: address and selector, no secrets.
func (s *Source) String() string { return s.address.String() + " " + s.options.Selector.String() }

// Last is the last good revision, also from before a restart. It needs no
// network; ok is false before the first success.
func (s *Source) Last() (r reconcile.Revision, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.last.Commit != ""
}

// Poll lists the repository and returns the selected revision, fetched if it was
// not there yet. Data that turns out damaged, here or on its way, is thrown away
// and fetched once more. After an error Last still holds.
func (s *Source) Poll(ctx context.Context) (reconcile.Revision, error) {
	s.polling.Lock()
	defer s.polling.Unlock()
	r, err := s.poll(ctx)
	if errors.Is(err, errDamaged) || errors.Is(err, errNotOurRef) {
		s.options.Log.Warn("fetching once more", "source", s.String(), "cause", err)
		r, err = s.poll(ctx)
	}
	return r, err
}

func (s *Source) poll(ctx context.Context) (reconcile.Revision, error) {
	remote, l, err := s.list(ctx)
	if err != nil {
		return reconcile.Revision{}, err
	}
	defer remote.Close() // what was wanted of it is there
	p, err := s.options.Selector.pick(l)
	if err != nil {
		return reconcile.Revision{}, fmt.Errorf("list %s: %w", s.address, err)
	}
	k, err := s.have(ctx, p.commit)
	if err != nil {
		return reconcile.Revision{}, err
	}
	if k == nil {
		if k, err = s.fetch(ctx, remote, l, p.commit); err != nil {
			return reconcile.Revision{}, err
		}
	}
	return s.accept(l, p, k)
}

// list opens a conversation and reads what the repository offers.
func (s *Source) list(ctx context.Context) (remote, listing, error) {
	d := deadline{what: "list", limit: s.options.ListTimeout}
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	r, err := s.dial(ctx)
	if err != nil {
		return nil, listing{}, s.failure(ctx, d, err)
	}
	l, err := r.list(ctx)
	if err != nil {
		return nil, listing{}, errors.Join(s.failure(ctx, d, err), r.Close())
	}
	return r, l, nil
}

// have returns the export of a commit, nil if it must be fetched.
func (s *Source) have(ctx context.Context, commit string) (*kept, error) {
	k, err := s.current, error(nil)
	if k != nil && k.manifest.Commit == commit {
		err = k.intact(ctx)
	} else {
		k, err = s.shelf.take(ctx, commit)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("check the export of %s: %w", commit, ctx.Err())
	}
	if err != nil {
		s.options.Log.Warn("export damaged, fetching it again", "source", s.String(), "commit", commit, "cause", err)
		return nil, nil
	}
	return k, nil
}

// fetch obtains a commit that is not there.
func (s *Source) fetch(ctx context.Context, r remote, l listing, commit string) (*kept, error) {
	key := commit + " " + l.branches[l.head]
	if s.refused.key == key {
		return nil, s.refused.err
	}
	d := deadline{what: "fetch " + commit[:7] + " of", limit: s.options.FetchTimeout}
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	k, err := s.obtain(ctx, r, l, commit)
	if err == nil {
		return k, nil
	}
	err = s.failure(ctx, d, err)
	if errors.Is(err, ErrTreeRefused) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrCommitUnreachable) {
		s.refused = refusal{key: key, err: err}
	}
	return nil, err
}

// How many commits below the default branch's tip are searched for a commit that
// no reference names and the server does not give out by id.
const (
	searchFirst = 50
	searchLast  = 1000
)

// obtain asks for what leads to the commit. Anything but a commit that an
// operator named by its id leads to it directly.
func (s *Source) obtain(ctx context.Context, r remote, l listing, commit string) (*kept, error) {
	if object, ok := l.offers[commit]; ok {
		return s.transfer(ctx, r, commit, want{object: object, depth: 1})
	}
	attempts := []want{{object: plumbing.NewHash(commit), depth: 1}}
	if tip, ok := l.branches[l.head]; ok {
		attempts = append(attempts,
			want{object: plumbing.NewHash(tip), depth: searchFirst},
			want{object: plumbing.NewHash(tip), depth: searchLast})
	}
	for i, w := range attempts {
		if i > 0 { // a conversation is good for one fetch
			again, _, err := s.list(ctx)
			if err != nil {
				return nil, err
			}
			defer again.Close() // at most twice
			r = again
		}
		k, err := s.transfer(ctx, r, commit, w)
		if err == nil || !errors.Is(err, errNotOurRef) && !errors.Is(err, errDamaged) {
			return k, err
		}
	}
	return nil, reconcile.WithHint(stalled(ErrCommitUnreachable, "select commit %s", commit),
		"push a branch or a tag that points at it; without one it must be among the last %d commits of the default branch", searchLast)
}

// transfer fetches into a staging directory and moves the export out of it.
func (s *Source) transfer(ctx context.Context, r remote, commit string, w want) (*kept, error) {
	staging, err := s.shelf.stage()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(staging) // if it fails the next start clears it
	w.dir, w.limits = staging, s.options.Limits
	store, err := r.fetch(ctx, w)
	if err != nil {
		return nil, err
	}
	c, err := readCommit(store, commit)
	if err != nil {
		return nil, err
	}
	tree := filepath.Join(staging, "tree")
	if err := os.Mkdir(tree, dirPerm); err != nil {
		return nil, diskError(err)
	}
	e, err := export(ctx, store, c.tree, tree, s.options.Limits)
	if err != nil {
		return nil, err
	}
	if len(e.skipped) > 0 {
		s.options.Log.Info("submodules are not exported", "source", s.String(), "commit", commit, "paths", e.skipped)
	}
	return s.shelf.place(staging, tree, manifest{
		Format: manifestFormat, Commit: commit,
		Author: c.Author, Subject: c.Subject, Time: c.Time, Files: e.files,
	})
}

// accept makes what was picked the last good revision. The disk is only written
// if something besides the time has changed.
func (s *Source) accept(l listing, p picked, k *kept) (reconcile.Revision, error) {
	r := reconcile.Revision{
		Source: s.address.String(), Ref: p.ref, Commit: p.commit,
		Author: k.manifest.Author, Subject: k.manifest.Subject, Time: k.manifest.Time,
		Fetched: s.now(), Dir: k.dir,
	}
	r.Tag, r.Version = p.name(l, s.options.Selector.TagPrefix, r.Time)
	before, _ := s.Last()
	before.Fetched = r.Fetched
	if r != before {
		if err := s.shelf.remember(r); err != nil {
			return reconcile.Revision{}, fmt.Errorf("record revision %s: %w", r.Short(), err)
		}
		if err := s.shelf.prune(r.Commit, r.Fetched); err != nil {
			return reconcile.Revision{}, fmt.Errorf("remove old exports: %w", err)
		}
	}
	s.current, s.refused = k, refusal{}
	s.mu.Lock()
	s.last = r
	s.mu.Unlock()
	return r, nil
}
