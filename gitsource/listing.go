package gitsource

import (
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"davit/reconcile"
)

// listing is what a repository advertises at one moment.
type listing struct {
	// head is the default branch, "" if the repository does not say.
	head string
	// branches and tags give the commit, annotated tags peeled.
	branches, tags map[string]string
	// offers gives, by commit, the object to ask for: the commit itself, or the
	// annotated tag that leads to it. Servers give out what they advertise, and a
	// peeled commit is not advertised.
	offers map[string]plumbing.Hash
}

func newListing() listing {
	return listing{branches: map[string]string{}, tags: map[string]string{}, offers: map[string]plumbing.Hash{}}
}

// add records a reference whose object is hash and whose commit is peeled.
func (l *listing) add(name plumbing.ReferenceName, hash, peeled plumbing.Hash) {
	commit := peeled.String()
	switch {
	case name.IsBranch():
		l.branches[name.Short()] = commit
	case name.IsTag():
		l.tags[name.Short()] = commit
	}
	if hash == peeled {
		l.offers[commit] = hash
	} else if _, direct := l.offers[commit]; !direct {
		l.offers[commit] = hash
	}
}

// listAdvertised reads what a server sent.
func listAdvertised(ar *packp.AdvRefs) (listing, error) {
	if len(ar.References) > maxRefs {
		return listing{}, stalled(ErrTooLarge, "read %d references", len(ar.References))
	}
	if f := ar.Capabilities.Get(capability.Capability("object-format")); len(f) > 0 && f[0] != "sha1" {
		return listing{}, reconcile.WithHint(stalled(ErrTreeRefused, "object format %q", clean(f[0], 20)),
			"only SHA-1 repositories are supported")
	}
	l := newListing()
	for name, hash := range ar.References {
		peeled, ok := ar.Peeled[name]
		if !ok {
			peeled = hash
		}
		l.add(plumbing.ReferenceName(name), hash, peeled)
	}
	l.head = defaultBranch(ar, l)
	return l, nil
}

// defaultBranch is the branch that HEAD names. Servers older than Git 1.8.5 give
// only its commit; there main and master are tried, and then nothing is guessed.
func defaultBranch(ar *packp.AdvRefs, l listing) string {
	for _, pair := range ar.Capabilities.Get(capability.SymRef) {
		if target, ok := strings.CutPrefix(pair, "HEAD:refs/heads/"); ok {
			return target
		}
	}
	if ar.Head == nil {
		return ""
	}
	for _, name := range []string{"main", "master"} {
		if l.branches[name] == ar.Head.String() {
			return name
		}
	}
	return ""
}
