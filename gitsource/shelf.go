package gitsource

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"davit/reconcile"
)

// shelf is the directory of one source's exports:
//
//	<commit>/        the files of a commit
//	<commit>.json    its manifest
//	last.json        the last good revision
//	.staging-*/      a fetch under way, worthless after a crash
type shelf struct {
	dir string
}

const (
	stagingPrefix = ".staging-"
	lastFile      = "last.json"
)

// openShelf makes the directory and clears what a crash left behind.
func openShelf(dir string) (shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return shelf{}, diskError(err)
	}
	stale, err := filepath.Glob(filepath.Join(dir, stagingPrefix+"*"))
	if err != nil {
		return shelf{}, err
	}
	for _, s := range stale {
		if err := os.RemoveAll(s); err != nil {
			return shelf{}, err
		}
	}
	return shelf{dir: dir}, nil
}

// stage makes a directory for one fetch, on the file system of the exports.
func (s shelf) stage() (string, error) {
	dir, err := os.MkdirTemp(s.dir, stagingPrefix)
	return dir, diskError(err)
}

func (s shelf) export(commit string) string   { return filepath.Join(s.dir, commit) }
func (s shelf) manifest(commit string) string { return filepath.Join(s.dir, commit+".json") }

// place makes the staged tree the export of its commit. A damaged one of the
// same commit is moved aside first, and goes away with the staging directory.
func (s shelf) place(staging, tree string, m manifest) (*kept, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	dir := s.export(m.Commit)
	err = os.Rename(dir, filepath.Join(staging, "damaged"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := os.Rename(tree, dir); err != nil {
		return nil, diskError(err)
	}
	if err := replaceFile(s.manifest(m.Commit), b); err != nil {
		return nil, err
	}
	now, err := stamps(dir)
	if err != nil {
		return nil, err
	}
	return &kept{manifest: m, dir: dir, stamps: now}, nil
}

// take returns the export of a commit after reading all of it. Both results are
// nil if there never was one.
func (s shelf) take(ctx context.Context, commit string) (*kept, error) {
	b, err := os.ReadFile(s.manifest(commit))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(s.export(commit)); err == nil {
			return nil, errors.New("it was never finished")
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := &kept{dir: s.export(commit)}
	if err := json.Unmarshal(b, &k.manifest); err != nil {
		return nil, fmt.Errorf("decode manifest: %w", err)
	}
	if k.manifest.Format != manifestFormat || k.manifest.Commit != commit {
		return nil, errors.New("its manifest is of another format or commit")
	}
	return k, k.intact(ctx)
}

// remember records the last good revision.
func (s shelf) remember(r reconcile.Revision) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode revision: %w", err)
	}
	return replaceFile(filepath.Join(s.dir, lastFile), b)
}

// recall returns the last good revision; ok is false if there is none that can
// be used.
func (s shelf) recall(ctx context.Context) (r reconcile.Revision, k *kept, ok bool) {
	b, err := os.ReadFile(filepath.Join(s.dir, lastFile))
	if err != nil || json.Unmarshal(b, &r) != nil || !fullCommit.MatchString(r.Commit) {
		return r, nil, false
	}
	k, err = s.take(ctx, r.Commit)
	if err != nil || k == nil {
		return r, nil, false
	}
	r.Dir = k.dir
	return r, k, true
}

// prune removes all but the newest exports. The current one counts as used now.
func (s shelf) prune(current string, now time.Time) error {
	if err := os.Chtimes(s.manifest(current), now, now); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	used := map[string]time.Time{}
	for _, e := range entries {
		commit := strings.TrimSuffix(e.Name(), ".json")
		if !fullCommit.MatchString(commit) {
			continue
		}
		if info, err := os.Stat(s.manifest(commit)); err == nil {
			used[commit] = info.ModTime()
		} else {
			used[commit] = time.Time{} // unfinished: the first to go
		}
	}
	delete(used, current)
	others := make([]string, 0, len(used))
	for commit := range used {
		others = append(others, commit)
	}
	slices.SortFunc(others, func(a, b string) int {
		return cmp.Or(used[b].Compare(used[a]), cmp.Compare(a, b))
	})
	for _, commit := range others[min(keepExports-1, len(others)):] {
		// The manifest goes first: an export without one is never trusted.
		if err := errors.Join(os.RemoveAll(s.manifest(commit)), os.RemoveAll(s.export(commit))); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile writes a file so that a crash leaves either the old or the new.
func replaceFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, stagingPrefix+"*")
	if err != nil {
		return diskError(err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return diskError(errors.Join(err, os.Remove(f.Name())))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return diskError(errors.Join(d.Sync(), d.Close()))
}
