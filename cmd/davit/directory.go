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

// directoryRevision describes a directory as a revision: its files as they are,
// under the name of the commit that is checked out, if it is a repository.
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
	r.Tag, err = headTag(repo, head.Hash())
	if r.Tag != "" {
		r.Version = "v" + strings.TrimPrefix(r.Tag, "v")
	}
	return r, err
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
