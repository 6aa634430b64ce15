package gitsource

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
)

// advertise makes a listing of tags, each on a commit of its own unless it says
// otherwise ("v1.0.0=2").
func advertise(tags ...string) listing {
	l := newListing()
	for i, tag := range tags {
		name, on, ok := strings.Cut(tag, "=")
		n := byte(i + 1)
		if ok {
			n = on[0] - '0'
		}
		h := plumbing.Hash{n}
		l.add(plumbing.NewTagReferenceName(name), h, h)
	}
	return l
}

func TestSemverRangePicksTheHighestTag(t *testing.T) {
	for _, tt := range []struct {
		name     string
		selector Selector
		tags     []string
		want     string // "" for none
	}{
		{"the highest of all", Selector{Semver: "*"}, []string{"v1.0.0", "v1.10.0", "v1.9.0"}, "v1.10.0"},
		{"numbers are not text", Selector{Semver: ">=1.0"}, []string{"v9.0.0", "v10.0.0"}, "v10.0.0"},
		{"a tilde keeps the minor", Selector{Semver: "~1.4"}, []string{"v1.4.9", "v1.5.0"}, "v1.4.9"},
		{"a caret keeps the major", Selector{Semver: "^1.4"}, []string{"v1.9.0", "v2.0.0"}, "v1.9.0"},
		{"two bounds", Selector{Semver: ">=1.0 <2"}, []string{"v1.9.0", "v2.0.0"}, "v1.9.0"},
		{"alternatives", Selector{Semver: "~1.4 || ~2.0"}, []string{"v1.4.9", "v2.0.1", "v3.0.0"}, "v2.0.1"},
		{"an exact version", Selector{Semver: "1.2.3"}, []string{"v1.2.3", "v1.2.4"}, "v1.2.3"},
		{"no v is a version too", Selector{Semver: "*"}, []string{"1.2.3", "v1.2.2"}, "1.2.3"},
		{"the v wins among equals", Selector{Semver: "*"}, []string{"1.2.3", "v1.2.3"}, "v1.2.3"},
		{"build metadata breaks ties by name", Selector{Semver: "*"}, []string{"v1.0.0+b", "v1.0.0+a"}, "v1.0.0+b"},
		{"pre-releases are left out", Selector{Semver: ">=1.0"}, []string{"v1.0.0", "v2.0.0-rc.1"}, "v1.0.0"},
		{"pre-releases when asked", Selector{Semver: ">=1.0", Prerelease: true}, []string{"v1.0.0", "v2.0.0-rc.1"}, "v2.0.0-rc.1"},
		{"pre-releases when the range names one", Selector{Semver: ">=1.0-0"}, []string{"v1.0.0", "v2.0.0-rc.1"}, "v2.0.0-rc.1"},
		{"a release is above its pre-release", Selector{Semver: ">=1.0-0"}, []string{"v2.0.0-rc.1", "v2.0.0"}, "v2.0.0"},
		{"only pre-releases", Selector{Semver: ">=1.0"}, []string{"v2.0.0-rc.1"}, ""},
		{"nothing in range", Selector{Semver: ">=3"}, []string{"v1.0.0", "v2.0.0"}, ""},
		{"no tags", Selector{Semver: "*"}, nil, ""},
		{"short tags are no versions", Selector{Semver: "*"}, []string{"v1", "1.2", "2024", "latest", "vv1.0.0", "v01.0.0", "V1.0.0"}, ""},
		{"a long tag is no version", Selector{Semver: "*"}, []string{"v1.0.0+" + strings.Repeat("a", 200)}, ""},
		{"only with the prefix", Selector{Semver: "*", TagPrefix: "web/"}, []string{"v9.0.0", "web/v1.0.0", "api/v2.0.0"}, "web/v1.0.0"},
		{"not with a prefix unasked", Selector{Semver: "*"}, []string{"web/v1.0.0"}, ""},
		{"a prefix of the prefix", Selector{Semver: "*", TagPrefix: "web-"}, []string{"web-v1.0.0", "web-api-v2.0.0"}, "web-v1.0.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			must(t, tt.selector.check())
			got, err := tt.selector.pick(advertise(tt.tags...))
			if got.tag != tt.want || (tt.want == "") != errors.Is(err, ErrNoMatchingTag) {
				t.Errorf("pick() = %q, %v, want %q", got.tag, err, tt.want)
			}
		})
	}
}

func TestSelectorsThatCannotBe(t *testing.T) {
	for _, s := range []Selector{
		{Branch: "a", Commit: strings.Repeat("a", 40)},
		{Branch: "-f"}, {Branch: "a..b"}, {Branch: "a b"}, {Branch: "a\nb"}, {Branch: "/a"}, {Branch: "a.lock"}, {Branch: "@{u}"},
		{Tag: "-f"}, {Tag: "v1^{}"}, {Tag: "*"},
		{Commit: "9d10e44"}, {Commit: strings.Repeat("A", 40)}, {Commit: strings.Repeat("a", 64)}, {Commit: "main"},
		{Semver: "newest"}, {Semver: ">="}, {Semver: strings.Repeat(">1 ", 200)},
		{Semver: "*", TagPrefix: "-x/"}, {Semver: "*", TagPrefix: "a b"},
	} {
		if err := s.check(); err == nil {
			t.Errorf("check accepts %+v", s)
		}
	}
}

func TestNameOfACommit(t *testing.T) {
	at := time.Date(2026, 11, 21, 5, 58, 0, 0, time.FixedZone("", 3600))
	commit := plumbing.NewHash("9d10e44abcdef0123456789abcdef0123456789a")
	const suffix = "20261121045800-9d10e44abcde"
	for _, tt := range []struct {
		name         string
		tags         []string // those that begin with = are on the commit
		prefix, pick string
		tag, version string
	}{
		{"the highest tag on it", []string{"=v1.2.3", "=v1.2.2", "v9.0.0"}, "", "", "v1.2.3", "v1.2.3"},
		{"canonical, with a v", []string{"=1.2.3"}, "", "", "1.2.3", "v1.2.3"},
		{"without the prefix", []string{"=web/v1.2.3", "=v7.0.0"}, "web/", "", "web/v1.2.3", "v1.2.3"},
		{"the tag that was picked", []string{"=v1.2.3", "=v2.0.0"}, "", "v1.2.3", "v1.2.3", "v1.2.3"},
		{"its own when a word was picked", []string{"=stable", "=v2.0.0"}, "", "stable", "v2.0.0", "v2.0.0"},
		{"no tags", nil, "", "", "", "v0.0.0-" + suffix},
		{"words only", []string{"=stable"}, "", "stable", "", "v0.0.0-" + suffix},
		{"after a release", []string{"v1.2.3", "v1.2.2"}, "", "", "", "v1.2.4-0." + suffix},
		{"after a release with metadata", []string{"v1.2.3+x"}, "", "", "", "v1.2.4-0." + suffix},
		{"after a pre-release", []string{"v1.3.0-rc.1", "v1.2.3"}, "", "", "", "v1.3.0-rc.1.0." + suffix},
		{"after the prefix's own", []string{"web/v1.2.3", "v9.0.0"}, "web/", "", "", "v1.2.4-0." + suffix},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newListing()
			for i, tag := range tt.tags {
				name, on := strings.CutPrefix(tag, "=")
				h := plumbing.Hash{byte(i + 1)}
				if on {
					h = commit
				}
				l.add(plumbing.NewTagReferenceName(name), h, h)
			}
			tag, version := picked{commit: commit.String(), tag: tt.pick}.name(l, tt.prefix, at)
			if tag != tt.tag || version != tt.version {
				t.Errorf("name() = %q %q, want %q %q", tag, version, tt.tag, tt.version)
			}
		})
	}
}

func TestPseudoVersionSortsBetweenItsNeighbours(t *testing.T) {
	at := time.Date(2026, 11, 21, 4, 58, 0, 0, time.UTC)
	for _, n := range [][2]string{{"1.2.3", "1.2.4"}, {"1.2.3", "1.2.4-rc.1"}, {"1.3.0-rc.1", "1.3.0-rc.2"}, {"1.3.0-rc.1", "1.3.0"}} {
		last, next := semver.MustParse(n[0]), semver.MustParse(n[1])
		v := semver.MustParse(pseudoVersion(last, at, strings.Repeat("a", 40)))
		if !v.GreaterThan(last) || !v.LessThan(next) {
			t.Errorf("%s is not between %s and %s", v, last, next)
		}
	}
}

func TestAnnotatedTagIsAskedForByItsOwnObject(t *testing.T) {
	l := newListing()
	object, commit := plumbing.Hash{1}, plumbing.Hash{2}
	l.add("refs/tags/v1.0.0", object, commit)
	if l.offers[commit.String()] != object || l.tags["v1.0.0"] != commit.String() {
		t.Errorf("listing = %+v", l)
	}
	l.add("refs/pull/1/head", commit, commit)
	l.add("refs/tags/v1.0.1", plumbing.Hash{3}, commit)
	if l.offers[commit.String()] != commit {
		t.Error("a reference to the commit itself is not preferred")
	}
}

func FuzzTagsAndRanges(f *testing.F) {
	f.Add("v1.2.3", "", ">=1.0")
	f.Add("web/v1.2.3-rc.1+x", "web/", "~1.2 || *-0")
	f.Add("v999999999999999999999.0.0", "v", "1 - 2")
	f.Fuzz(func(t *testing.T, tag, prefix, span string) {
		s := Selector{Semver: span, TagPrefix: prefix}
		if s.check() != nil || span == "" {
			return
		}
		l := advertise("v1.0.0")
		l.tags[tag] = strings.Repeat("9", 40)
		p, err := s.pick(l)
		if err == nil && !strings.HasPrefix(p.tag, prefix) {
			t.Errorf("picked %q with prefix %q", p.tag, prefix)
		}
		if _, v := p.name(l, prefix, time.Unix(0, 0)); err == nil && !strings.HasPrefix(v, "v") {
			t.Errorf("version %q", v)
		}
	})
}
