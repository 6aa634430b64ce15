package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// local is a repository on this machine, read where it lies: its objects need
// no fetch, and go-git's own file transport would run a git binary.
type local struct {
	store *filesystem.Storage
}

func openLocal(path string) (remote, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", transport.ErrRepositoryNotFound, err)
	} else if err != nil {
		return nil, err
	}
	repo, err := git.PlainOpenWithOptions(path, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, fmt.Errorf("%w: %s holds none", transport.ErrRepositoryNotFound, path)
	}
	if err != nil {
		return nil, err
	}
	opened, ok := repo.Storer.(*filesystem.Storage)
	if !ok {
		return nil, fmt.Errorf("open %s: unexpected kind of storage", path)
	}
	// Opened again with what PlainOpen cannot be told: large files are streamed,
	// and objects borrowed from another repository are found.
	return &local{store: filesystem.NewStorageWithOptions(opened.Filesystem(), cache.NewObjectLRU(8*cache.MiByte),
		filesystem.Options{LargeObjectThreshold: mebi, AlternatesFS: osfs.New("/", osfs.WithBoundOS())})}, nil
}

func (r *local) list(ctx context.Context) (listing, error) {
	iter, err := r.store.IterReferences()
	if err != nil {
		return listing{}, err
	}
	l := newListing()
	count := 0
	err = iter.ForEach(func(ref *plumbing.Reference) error {
		if count++; count > maxRefs {
			return stalled(ErrTooLarge, "read more than %d references", maxRefs)
		}
		if ref.Type() == plumbing.HashReference && ref.Name() != plumbing.HEAD {
			l.add(ref.Name(), ref.Hash(), r.peel(ref))
		}
		return ctx.Err()
	})
	if err != nil {
		return listing{}, err
	}
	if count == 0 || len(l.offers) == 0 {
		return listing{}, transport.ErrEmptyRemoteRepository
	}
	if head, err := r.store.Reference(plumbing.HEAD); err == nil && head.Type() == plumbing.SymbolicReference && head.Target().IsBranch() {
		l.head = head.Target().Short()
	}
	return l, nil
}

// maxPeel bounds a chain of tags that point at tags.
const maxPeel = 8

// peel follows annotated tags. One that cannot be read is left as it is: it
// matters only if it is selected, and then reading the commit says so.
func (r *local) peel(ref *plumbing.Reference) plumbing.Hash {
	hash := ref.Hash()
	if !ref.Name().IsTag() {
		return hash
	}
	for range maxPeel {
		tag, err := object.GetTag(r.store, hash)
		if err != nil {
			return hash
		}
		hash = tag.Target
	}
	return hash
}

func (r *local) fetch(context.Context, want) (storer.EncodedObjectStorer, error) {
	return r.store, nil
}

func (r *local) Close() error { return r.store.Close() }
