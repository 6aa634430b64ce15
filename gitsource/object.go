package gitsource

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// commit is what is remembered of a commit.
type commit struct {
	Author, Subject string
	Time            time.Time
	tree            plumbing.Hash
}

const (
	maxAuthor  = 200 // bytes
	maxSubject = 200
)

func readCommit(store storer.EncodedObjectStorer, id string) (commit, error) {
	raw, err := readObject(store, plumbing.NewHash(id), plumbing.CommitObject, maxCommit)
	if err != nil {
		return commit{}, err
	}
	var c object.Commit
	if err := c.Decode(raw); err != nil {
		return commit{}, stalled(ErrTreeRefused, "decode commit %s: %v", id, outside{err})
	}
	subject, _, _ := strings.Cut(strings.TrimLeft(c.Message, "\n"), "\n")
	return commit{
		Author:  clean(c.Author.Name+" <"+c.Author.Email+">", maxAuthor),
		Subject: clean(subject, maxSubject),
		Time:    c.Committer.When.UTC(),
		tree:    c.TreeHash,
	}, nil
}

func readTree(store storer.EncodedObjectStorer, hash plumbing.Hash) ([]object.TreeEntry, error) {
	raw, err := readObject(store, hash, plumbing.TreeObject, maxTree)
	if err != nil {
		return nil, err
	}
	var t object.Tree
	if err := t.Decode(raw); err != nil {
		return nil, stalled(ErrTreeRefused, "decode tree %s: %v", hash, outside{err})
	}
	return t.Entries, nil
}

// readObject reads a whole object and compares it with its hash.
func readObject(store storer.EncodedObjectStorer, hash plumbing.Hash, kind plumbing.ObjectType, limit int64) (*plumbing.MemoryObject, error) {
	if err := checkSize(store, hash, kind, limit); err != nil {
		return nil, err
	}
	o, err := openObject(store, hash, kind)
	if err != nil {
		return nil, err
	}
	r, err := o.Reader()
	if err != nil {
		return nil, damaged(kind, hash, err)
	}
	defer r.Close() // only read
	out := new(plumbing.MemoryObject)
	out.SetType(kind)
	if _, err := io.Copy(out, io.LimitReader(r, limit+1)); err != nil {
		return nil, damaged(kind, hash, err)
	}
	if out.Hash() != hash {
		return nil, damaged(kind, hash, errors.New("content and hash disagree"))
	}
	return out, nil
}

// objectSize is an object's size, as far as possible without reading it. go-git
// does not look for sizes among objects that are borrowed from another
// repository.
func objectSize(store storer.EncodedObjectStorer, hash plumbing.Hash) (int64, error) {
	size, err := store.EncodedObjectSize(hash)
	if !errors.Is(err, plumbing.ErrObjectNotFound) {
		return size, err
	}
	o, err := store.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return 0, err
	}
	return o.Size(), nil
}

func checkSize(store storer.EncodedObjectStorer, hash plumbing.Hash, kind plumbing.ObjectType, limit int64) error {
	size, err := objectSize(store, hash)
	if err != nil {
		return damaged(kind, hash, err)
	}
	if size > limit {
		return stalled(ErrTooLarge, "read %s %s of %d bytes, %d are allowed", kind, hash, size, limit)
	}
	return nil
}

func openObject(store storer.EncodedObjectStorer, hash plumbing.Hash, kind plumbing.ObjectType) (plumbing.EncodedObject, error) {
	o, err := store.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return nil, damaged(kind, hash, err)
	}
	if o.Type() != kind {
		return nil, stalled(ErrTreeRefused, "read %s: it is a %s, not a %s", hash, o.Type(), kind)
	}
	return o, nil
}

// copyBlob writes a blob to w, compares it with its hash and returns its size and
// sha256.
func copyBlob(store storer.EncodedObjectStorer, hash plumbing.Hash, w io.Writer) (int64, string, error) {
	o, err := openObject(store, hash, plumbing.BlobObject)
	if err != nil {
		return 0, "", err
	}
	r, err := o.Reader()
	if err != nil {
		return 0, "", damaged(plumbing.BlobObject, hash, err)
	}
	defer r.Close() // only read
	git, content := plumbing.NewHasher(plumbing.BlobObject, o.Size()), sha256.New()
	n, err := io.Copy(io.MultiWriter(git, content, fatal{w}), io.LimitReader(r, o.Size()+1))
	var broken *writeError
	switch {
	case errors.As(err, &broken):
		return 0, "", diskError(broken.err)
	case err != nil:
		return 0, "", damaged(plumbing.BlobObject, hash, err)
	case git.Sum() != hash:
		return 0, "", damaged(plumbing.BlobObject, hash, errors.New("content and hash disagree"))
	}
	return n, hex.EncodeToString(content.Sum(nil)), nil
}

// fatal marks a writer's errors, to tell a full disk from a damaged object.
type fatal struct{ w io.Writer }

type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }

func (f fatal) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err != nil {
		err = &writeError{err}
	}
	return n, err
}

func damaged(kind plumbing.ObjectType, hash plumbing.Hash, err error) error {
	return fmt.Errorf("read %s %s: %w: %w", kind, hash, errDamaged, err)
}
