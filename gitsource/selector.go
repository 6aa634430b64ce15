package gitsource

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"

	"davit/reconcile"
)

// Selector chooses one commit of a repository. At most one of Branch, Tag,
// Semver and Commit is set; without any the repository's default branch is
// followed.
type Selector struct {
	Branch string
	// Tag is a tag's whole name, prefix included.
	Tag string
	// Semver is a range such as ">=1.0 <3" or "~1.4"; the highest tag in it wins.
	Semver string
	// Commit is a full commit id in hex.
	Commit string
	// TagPrefix is what version tags of this source begin with, such as "web/"
	// for "web/v1.2.3". Tags without it do not count as versions.
	TagPrefix string
	// Prerelease lets pre-releases match Semver even if the range names none.
	Prerelease bool
}

// picked is what a selector chose from a listing.
type picked struct {
	ref    string // as in reconcile.Revision
	commit string
	tag    string // the tag that was chosen, if one was
}

// String is the selector as an operator would say it, such as "branch main".
func (s Selector) String() string {
	switch {
	case s.Branch != "":
		return "branch " + s.Branch
	case s.Tag != "":
		return "tag " + s.Tag
	case s.Semver != "":
		return "versions " + s.TagPrefix + s.Semver
	case s.Commit != "":
		return "commit " + s.Commit
	}
	return "default branch"
}

var fullCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)

const maxRange = 256 // bytes of a semver range

func (s Selector) check() error {
	set := 0
	for _, v := range []string{s.Branch, s.Tag, s.Semver, s.Commit} {
		if v != "" {
			set++
		}
	}
	if set > 1 {
		return errors.New("select a revision: branch, tag, semver range and commit exclude each other")
	}
	if s.Branch != "" && !validRef(plumbing.NewBranchReferenceName(s.Branch)) {
		return fmt.Errorf("select a revision: %q is no branch name", s.Branch)
	}
	if s.Tag != "" && !validRef(plumbing.NewTagReferenceName(s.Tag)) {
		return fmt.Errorf("select a revision: %q is no tag name", s.Tag)
	}
	if s.TagPrefix != "" && !validRef(plumbing.NewTagReferenceName(s.TagPrefix+"v1.0.0")) {
		return fmt.Errorf("select a revision: no tag can begin with %q", s.TagPrefix)
	}
	if s.Commit != "" && !fullCommit.MatchString(s.Commit) {
		return reconcile.WithHint(fmt.Errorf("select a revision: %q is no full commit id", s.Commit),
			"give all 40 hexadecimal digits, in lower case")
	}
	if s.Semver != "" {
		_, err := s.constraint()
		return err
	}
	return nil
}

func validRef(name plumbing.ReferenceName) bool {
	return name.Validate() == nil && !strings.HasPrefix(name.Short(), "-")
}

func (s Selector) constraint() (*semver.Constraints, error) {
	if len(s.Semver) > maxRange {
		return nil, fmt.Errorf("select a revision: a semver range of %d bytes is too long", len(s.Semver))
	}
	c, err := semver.NewConstraint(s.Semver)
	if err != nil {
		return nil, fmt.Errorf("select a revision: semver range %q: %w", s.Semver, err)
	}
	if s.Prerelease {
		c.IncludePrerelease = true
	}
	return c, nil
}

// pick resolves the selector from the listing alone.
func (s Selector) pick(l listing) (picked, error) {
	switch {
	case s.Commit != "":
		return picked{commit: s.Commit}, nil
	case s.Tag != "":
		commit, ok := l.tags[s.Tag]
		if !ok {
			return picked{}, reconcile.WithHint(stalled(ErrTagGone, "select tag %q", s.Tag),
				"push the tag again, or select another one")
		}
		return picked{ref: s.Tag, commit: commit, tag: s.Tag}, nil
	case s.Semver != "":
		return s.pickVersion(l)
	}
	return s.pickBranch(l)
}

func (s Selector) pickVersion(l listing) (picked, error) {
	c, err := s.constraint()
	if err != nil {
		return picked{}, err
	}
	best, ok := highest(versionTags(l.tags, s.TagPrefix), func(t versionTag) bool { return c.Check(t.version) })
	if !ok {
		return picked{}, reconcile.WithHint(
			stalled(ErrNoMatchingTag, "select the highest of %s among %d tags", s, len(l.tags)),
			"push a tag such as %sv1.2.3; pre-releases count only when the range names one or they are asked for", s.TagPrefix)
	}
	return picked{ref: best.name, commit: best.commit, tag: best.name}, nil
}

func (s Selector) pickBranch(l listing) (picked, error) {
	branch := s.Branch
	if branch == "" {
		branch = l.head
	}
	if branch == "" {
		return picked{}, reconcile.WithHint(
			stalled(ErrBranchGone, "select the default branch: the repository names none"),
			"select a branch by name")
	}
	commit, ok := l.branches[branch]
	if !ok {
		return picked{}, reconcile.WithHint(stalled(ErrBranchGone, "select branch %q", branch),
			"push the branch again, or select another one; what runs is left as it is")
	}
	return picked{ref: branch, commit: commit}, nil
}
