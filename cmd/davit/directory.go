package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"davit/reconcile"
)

// dirtyMark is put behind the name of a commit whose files were changed since.
const dirtyMark = "+dirty"

// directoryRevision describes a directory as a revision: its files as they are,
// under the name of the commit that is checked out, if it is a repository. Where
// files differ from the commit's, the reference and the version say so; DAVIT_TAG
// and DAVIT_VERSION are those of the commit.
func directoryRevision(dir string, now time.Time) (reconcile.Revision, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return reconcile.Revision{}, fmt.Errorf("resolve %s: %w", dir, err)
	}
	r := reconcile.Revision{Source: abs, Ref: "dir", Dir: abs, Time: now, Fetched: now}
	repo, err := git.PlainOpenWithOptions(abs, &git.PlainOpenOptions{DetectDotGit: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("open the repository of %s: %w", abs, err)
	}
	head, err := repo.Head()
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read HEAD of %s: %w", abs, err)
	}
	r.Commit = head.Hash().String()
	if commit, err := repo.CommitObject(head.Hash()); err == nil {
		r.Author, r.Subject = commit.Author.Name, firstLine(commit.Message)
	}
	if r.Tag, err = headTag(repo, head.Hash()); err != nil {
		return r, err
	}
	if r.Tag != "" {
		r.Version = "v" + strings.TrimPrefix(r.Tag, "v")
	}
	changed, err := dirty(repo, abs)
	if err != nil {
		return r, fmt.Errorf("compare %s with its commit: %w", abs, err)
	}
	if changed {
		r.Ref += dirtyMark
		if r.Version != "" {
			r.Version += dirtyMark
		}
	}
	return r, nil
}

// dirty reports whether files in dir differ from those of HEAD, or are not in Git
// and not ignored.
func dirty(repo *git.Repository, dir string) (bool, error) {
	work, err := repo.Worktree()
	if errors.Is(err, git.ErrIsBareRepository) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	root, err := filepath.EvalSymlinks(work.Filesystem.Root())
	if err != nil {
		return false, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return false, err
	}
	below, err := filepath.Rel(root, dir)
	if err != nil {
		return false, err
	}
	status, err := work.Status()
	if err != nil {
		return false, err
	}
	for name, s := range status {
		within := below == "." || strings.HasPrefix(name, filepath.ToSlash(below)+"/")
		if within && (s.Worktree != git.Unmodified || s.Staging != git.Unmodified) {
			return true, nil
		}
	}
	return false, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// headTag is the highest version among the tags of a commit.
func headTag(repo *git.Repository, commit plumbing.Hash) (string, error) {
	tags, err := repo.Tags()
	if err != nil {
		return "", fmt.Errorf("list tags: %w", err)
	}
	best, name := (*semver.Version)(nil), ""
	err = tags.ForEach(func(ref *plumbing.Reference) error {
		v, err := semver.NewVersion(ref.Name().Short())
		if err != nil {
			return nil // a tag of another kind
		}
		peeled := ref.Hash()
		if annotated, err := repo.TagObject(peeled); err == nil {
			peeled = annotated.Target
		}
		if peeled == commit && (best == nil || v.GreaterThan(best)) {
			best, name = v, ref.Name().Short()
		}
		return nil
	})
	return name, err
}
