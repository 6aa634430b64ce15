package gitsource

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"davit/reconcile"
)

// everyTransport runs a test against one repository over each transport.
func everyTransport(t *testing.T, test func(t *testing.T, r *repo, o Options)) {
	t.Run("over http", func(t *testing.T) {
		r := newRepo(t)
		test(t, r, Options{URL: serveHTTP(t, r).url()})
	})
	t.Run("over ssh", func(t *testing.T) {
		r, server := newRepo(t), serveSSH(t)
		test(t, r, Options{URL: "ssh://git@" + server.addr + r.dir, Auth: server.auth})
	})
	t.Run("from a path", func(t *testing.T) {
		r := newRepo(t)
		test(t, r, Options{URL: r.dir})
	})
	t.Run("from a file URL", func(t *testing.T) {
		r := newRepo(t)
		test(t, r, Options{URL: "file://" + r.dir})
	})
}

func TestPollExportsTheTipOfTheDefaultBranch(t *testing.T) {
	everyTransport(t, func(t *testing.T, r *repo, o Options) {
		commit := r.push("main", map[string]string{
			"compose.yaml": "services: {}\n", "conf/nginx.conf": "worker 1;", "run.sh*": "#!/bin/sh\n", "empty": "", "link": "-> conf/nginx.conf",
		})
		s := open(t, o)
		got := poll(t, s)
		if got.Ref != "main" || got.Commit != commit || got.Author != "Ada <ada@example.org>" || got.Subject != "Change the shop" {
			t.Errorf("revision = %+v", got)
		}
		if !got.Time.Equal(r.clock) || got.Tag != "" || got.Version != "v0.0.0-20261121045900-"+commit[:12] {
			t.Errorf("time %s, tag %q, version %q", got.Time, got.Tag, got.Version)
		}
		if strings.Contains(got.Source, "git@") || got.Fetched.IsZero() {
			t.Errorf("source %q, fetched %s", got.Source, got.Fetched)
		}
		if content(t, got, "conf/nginx.conf") != "worker 1;" || content(t, got, "link") != "worker 1;" || content(t, got, "empty") != "" {
			t.Error("the files are not those of the commit")
		}
		for name, want := range map[string]fs.FileMode{"run.sh": 0o755, "compose.yaml": 0o644, "conf": fs.ModeDir | 0o755} {
			if info, err := os.Stat(filepath.Join(got.Dir, name)); err != nil || info.Mode() != want {
				t.Errorf("mode of %s: %v, %v, want %s", name, info, err, want)
			}
		}
		if left := staged(t, s); len(left) > 0 {
			t.Errorf("the fetch left %s", left)
		}
	})
}

func TestPollFollowsPushForcePushAndTag(t *testing.T) {
	everyTransport(t, func(t *testing.T, r *repo, o Options) {
		s := open(t, o)
		first := r.push("main", map[string]string{"a": "1"})
		poll(t, s)
		second := r.push("main", map[string]string{"a": "2"})
		if got := poll(t, s); got.Commit != second || content(t, got, "a") != "2" {
			t.Errorf("after a push: %s", got)
		}
		r.tag("v1.2.3", second, true)
		if got := poll(t, s); got.Version != "v1.2.3" || got.Tag != "v1.2.3" {
			t.Errorf("after a tag: %q %q", got.Tag, got.Version)
		}
		third := r.push("main", map[string]string{"a": "3"})
		if got := poll(t, s); got.Version != "v1.2.4-0."+got.Time.Format("20060102150405")+"-"+third[:12] {
			t.Errorf("version after the tag: %q", got.Version)
		}
		r.ref("refs/heads/main", first)
		if got := poll(t, s); got.Commit != first || content(t, got, "a") != "1" {
			t.Errorf("after a force-push back: %s", got)
		}
	})
}

func TestPollFetchesOnlyWhatChanged(t *testing.T) {
	r := newRepo(t)
	server := serveHTTP(t, r)
	commit := r.push("main", map[string]string{"a": "1"})
	s := open(t, Options{URL: server.url()})
	before := poll(t, s)
	info, err := os.Stat(filepath.Join(s.shelf.dir, lastFile))
	must(t, err)
	poll(t, s)
	again, err := os.Stat(filepath.Join(s.shelf.dir, lastFile))
	must(t, err)
	if !os.SameFile(info, again) {
		t.Error("a poll without news wrote to the disk")
	}
	r.tag("v2.0.0", commit, true)
	if got := poll(t, s); got.Version != "v2.0.0" || got.Subject != before.Subject || !got.Time.Equal(before.Time) {
		t.Errorf("the tagged revision is %+v", got)
	}
	if n := server.fetches(); n != 1 {
		t.Errorf("%d fetches for one commit", n)
	}
}

func TestPollByEverySelector(t *testing.T) {
	everyTransport(t, func(t *testing.T, r *repo, o Options) {
		c1 := r.push("main", map[string]string{"a": "1"})
		r.tag("v1.0.0", c1, false)
		c2 := r.push("main", map[string]string{"a": "2"})
		r.tag("v1.1.0", c2, true)
		c3 := r.push("main", map[string]string{"a": "3"})
		r.tag("v2.0.0-rc.1", c3, true)
		r.tag("web/v7.0.0", c1, true)
		r.push("main", map[string]string{"a": "4"})
		c5 := r.push("next", map[string]string{"a": "5"})
		for name, tt := range map[string]struct {
			selector     Selector
			commit       string
			ref, version string
		}{
			"a branch":                       {Selector{Branch: "next"}, c5, "next", ""},
			"a lightweight tag":              {Selector{Tag: "v1.0.0"}, c1, "v1.0.0", "v1.0.0"},
			"an annotated tag":               {Selector{Tag: "v1.1.0"}, c2, "v1.1.0", "v1.1.0"},
			"the highest version in range":   {Selector{Semver: ">=1.0"}, c2, "v1.1.0", "v1.1.0"},
			"a pre-release asked for":        {Selector{Semver: ">=1.0", Prerelease: true}, c3, "v2.0.0-rc.1", "v2.0.0-rc.1"},
			"a pre-release named by a range": {Selector{Semver: ">=2.0.0-0"}, c3, "v2.0.0-rc.1", "v2.0.0-rc.1"},
			"versions with a prefix":         {Selector{Semver: ">0", TagPrefix: "web/"}, c1, "web/v7.0.0", "v7.0.0"},
			"a commit with a branch":         {Selector{Commit: c5}, c5, "", ""},
			"a commit with a tag":            {Selector{Commit: c2}, c2, "", "v1.1.0"},
		} {
			t.Run(name, func(t *testing.T) {
				o.Selector, o.Data = tt.selector, t.TempDir()
				got := poll(t, open(t, o))
				if got.Commit != tt.commit || got.Ref != tt.ref || tt.version != "" && got.Version != tt.version {
					t.Errorf("got %s %s, want %s@sha1:%s %s", got, got.Version, tt.ref, tt.commit, tt.version)
				}
			})
		}
	})
}

func TestPollFindsACommitThatNoReferenceNames(t *testing.T) {
	everyTransport(t, func(t *testing.T, r *repo, o Options) {
		var commits []string
		for i := range 60 {
			commits = append(commits, r.push("main", map[string]string{"a": string(rune('A' + i))}))
		}
		o.Selector.Commit = commits[2]
		if got := poll(t, open(t, o)); got.Commit != commits[2] || content(t, got, "a") != "C" {
			t.Errorf("got %s", got)
		}
		o.Selector.Commit = strings.Repeat("ab", 20)
		s := open(t, o)
		pollStalls(t, s, ErrCommitUnreachable)
		pollStalls(t, s, ErrCommitUnreachable) // remembered
	})
}

func TestPollStallsAndKeepsTheLastExport(t *testing.T) {
	for name, tt := range map[string]struct {
		selector Selector
		breaks   func(r *repo)
		want     error
	}{
		"when the branch is gone":         {Selector{Branch: "main"}, func(r *repo) { r.deleteRef("refs/heads/main") }, ErrBranchGone},
		"when the default branch is gone": {Selector{}, func(r *repo) { r.deleteRef("refs/heads/main") }, ErrBranchGone},
		"when the tag is gone":            {Selector{Tag: "v1.0.0"}, func(r *repo) { r.deleteRef("refs/tags/v1.0.0") }, ErrTagGone},
		"when no tag is in the range":     {Selector{Semver: ">=1"}, func(r *repo) { r.deleteRef("refs/tags/v1.0.0") }, ErrNoMatchingTag},
		"when the repository is gone":     {Selector{}, func(r *repo) { must(r.t, os.RemoveAll(r.dir)) }, ErrRepositoryNotFound},
		"when the repository is emptied": {Selector{}, func(r *repo) {
			for _, ref := range []string{"refs/heads/main", "refs/heads/other", "refs/tags/v1.0.0"} {
				r.deleteRef(ref)
			}
		}, ErrEmptyRepository},
	} {
		t.Run(name, func(t *testing.T) {
			everyTransport(t, func(t *testing.T, r *repo, o Options) {
				commit := r.push("main", map[string]string{"a": "1"})
				r.push("other", map[string]string{"a": "2"})
				r.tag("v1.0.0", commit, true)
				o.Selector = tt.selector
				s := open(t, o)
				good := poll(t, s)
				tt.breaks(r)
				err := pollStalls(t, s, tt.want)
				if reconcile.Hint(err) == "" || !strings.Contains(err.Error(), s.address.String()) {
					t.Errorf("error %q has hint %q", err, reconcile.Hint(err))
				}
				if last, ok := s.Last(); !ok || last != good || content(t, last, "a") != "1" {
					t.Errorf("Last() = %v, %t after a failed poll", last, ok)
				}
			})
		})
	}
}

func TestPollOfANewEmptyRepositoryStalls(t *testing.T) {
	everyTransport(t, func(t *testing.T, r *repo, o Options) {
		s := open(t, o)
		pollStalls(t, s, ErrEmptyRepository)
		if _, ok := s.Last(); ok {
			t.Error("an empty repository has a last revision")
		}
		r.push("main", map[string]string{"a": "1"})
		poll(t, s)
	})
}

func TestLastSurvivesARestartWithoutTheRepository(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": "1"})
	o := Options{URL: r.dir, Data: t.TempDir()}
	good := poll(t, open(t, o))
	must(t, os.RemoveAll(r.dir))
	s := open(t, o)
	last, ok := s.Last()
	if !ok || last.Commit != good.Commit || last.Version != good.Version || last.Dir != good.Dir || !last.Fetched.Equal(good.Fetched) {
		t.Fatalf("Last() = %+v, %t, want %+v", last, ok, good)
	}
	pollStalls(t, s, ErrRepositoryNotFound)
	o.Selector.Branch = "next"
	if _, ok := open(t, o).Last(); ok {
		t.Error("another selector restores what it did not select")
	}
}

func TestDamagedExportIsFetchedOnceMore(t *testing.T) {
	edit := func(name string, f func(path string) error) func(*testing.T, *Source, reconcile.Revision) {
		return func(t *testing.T, _ *Source, rev reconcile.Revision) { must(t, f(filepath.Join(rev.Dir, name))) }
	}
	manifest := func(f func(path string) error) func(*testing.T, *Source, reconcile.Revision) {
		return func(t *testing.T, s *Source, rev reconcile.Revision) { must(t, f(s.shelf.manifest(rev.Commit))) }
	}
	later := time.Now().Add(time.Hour)
	for name, damage := range map[string]func(*testing.T, *Source, reconcile.Revision){
		"a truncated file": edit("a", func(p string) error { return os.Truncate(p, 2) }),
		"an edited file": edit("a", func(p string) error {
			return errors.Join(os.WriteFile(p, []byte("evil!"), 0o644), os.Chtimes(p, later, later))
		}),
		"a missing file":       edit("d/b", os.Remove),
		"a missing directory":  edit("d", os.RemoveAll),
		"a file too many":      edit(".env", func(p string) error { return os.WriteFile(p, nil, 0o644) }),
		"other permissions":    edit("a", func(p string) error { return os.Chmod(p, 0o755) }),
		"a link instead":       edit("a", func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/etc/passwd", p)) }),
		"a link that moved":    edit("l", func(p string) error { return errors.Join(os.Remove(p), os.Symlink("d", p)) }),
		"a missing manifest":   manifest(os.Remove),
		"a truncated manifest": manifest(func(p string) error { return os.Truncate(p, 20) }),
		"an empty manifest":    manifest(func(p string) error { return os.Truncate(p, 0) }),
		"everything gone":      edit("", os.RemoveAll),
	} {
		for _, restart := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " after a restart", false: ""}[restart], func(t *testing.T) {
				r := newRepo(t)
				server := serveHTTP(t, r)
				r.push("main", map[string]string{"a": "whole", "d/b": "2", "l": "-> a"})
				o := Options{URL: server.url(), Data: t.TempDir()}
				s := open(t, o)
				rev := poll(t, s)
				damage(t, s, rev)
				want := 2
				if restart {
					s = open(t, o)
					if _, ok := s.Last(); ok {
						t.Error("a damaged export is restored")
					}
				} else if strings.Contains(name, "manifest") {
					want = 1 // it is in memory, and rightly so
				}
				rev = poll(t, s)
				if content(t, rev, "a") != "whole" || content(t, rev, "d/b") != "2" || content(t, rev, "l") != "whole" {
					t.Error("the export is still damaged")
				}
				if _, err := os.Stat(filepath.Join(rev.Dir, ".env")); err == nil {
					t.Error("the foreign file is still there")
				}
				poll(t, s)
				if got := server.fetches(); got != want {
					t.Errorf("%d fetches, want %d", got, want)
				}
			})
		}
	}
}

func TestDamagedExportStaysUntilItsReplacementIsThere(t *testing.T) {
	r := newRepo(t)
	server := serveHTTP(t, r)
	r.push("main", map[string]string{"a": "1", "b": "2"})
	s := open(t, Options{URL: server.url()})
	rev := poll(t, s)
	must(t, os.Remove(filepath.Join(rev.Dir, "b")))
	server.Close()
	if _, err := s.Poll(t.Context()); err == nil {
		t.Fatal("a poll without a server succeeds")
	}
	if content(t, rev, "a") != "1" {
		t.Error("what was left of the export is gone")
	}
}

func TestNewClearsWhatACrashLeft(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": "1"})
	o := Options{URL: r.dir, Data: t.TempDir()}
	s := open(t, o)
	poll(t, s)
	must(t, os.MkdirAll(filepath.Join(s.shelf.dir, stagingPrefix+"1/git/objects"), 0o700))
	must(t, os.WriteFile(filepath.Join(s.shelf.dir, stagingPrefix+"2"), []byte("half"), 0o600))
	s = open(t, o)
	if left := staged(t, s); len(left) > 0 {
		t.Errorf("left: %s", left)
	}
	if _, ok := s.Last(); !ok {
		t.Error("the last revision went with it")
	}
}

func TestPollKeepsTheLastExportsOnly(t *testing.T) {
	r := newRepo(t)
	s := open(t, Options{URL: r.dir})
	clock := time.Now()
	s.now = func() time.Time { clock = clock.Add(time.Minute); return clock }
	var revs []reconcile.Revision
	for _, v := range []string{"1", "2", "3", "4", "5"} {
		r.push("main", map[string]string{"a": v})
		revs = append(revs, poll(t, s))
	}
	for i, rev := range revs {
		_, err := os.Stat(rev.Dir)
		if gone := errors.Is(err, fs.ErrNotExist); gone != (i < 2) {
			t.Errorf("export %d gone: %t", i+1, gone)
		}
	}
	// The oldest that is left becomes the current one, so another goes next.
	r.ref("refs/heads/main", revs[2].Commit)
	poll(t, s)
	r.push("main", map[string]string{"a": "6"})
	poll(t, s)
	if _, err := os.Stat(revs[2].Dir); err != nil {
		t.Errorf("the export used last was removed: %v", err)
	}
	if _, err := os.Stat(revs[3].Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the export used longest ago is there: %v", err)
	}
}

func TestReturningToAKeptExportFetchesNothing(t *testing.T) {
	r := newRepo(t)
	server := serveHTTP(t, r)
	s := open(t, Options{URL: server.url()})
	first := r.push("main", map[string]string{"a": "1"})
	poll(t, s)
	r.push("main", map[string]string{"a": "2"})
	poll(t, s)
	r.ref("refs/heads/main", first)
	if got := poll(t, s); content(t, got, "a") != "1" || server.fetches() != 2 {
		t.Errorf("got %s after %d fetches", got, server.fetches())
	}
}

func TestRepositoriesOfEveryShapeAreRead(t *testing.T) {
	text := strings.Repeat("a line that deltas find again\n", 4000)
	for name, shape := range map[string]func(r *repo) (path string){
		"packed, with deltas": func(r *repo) string { r.gitCommand("-C", r.dir, "gc", "-q", "--aggressive"); return r.dir },
		"packed references":   func(r *repo) string { r.gitCommand("-C", r.dir, "pack-refs", "--all"); return r.dir },
		"with borrowed objects": func(r *repo) string {
			r.gitCommand("clone", "-q", "--bare", "--shared", r.dir, "borrower.git")
			return filepath.Join(filepath.Dir(r.dir), "borrower.git")
		},
		"with a work tree": func(r *repo) string {
			r.gitCommand("clone", "-q", r.dir, "work")
			return filepath.Join(filepath.Dir(r.dir), "work")
		},
		"a linked work tree": func(r *repo) string {
			r.gitCommand("-C", r.dir, "worktree", "add", "-q", "-b", "linked", filepath.Join(filepath.Dir(r.dir), "linked"), "main")
			return filepath.Join(filepath.Dir(r.dir), "linked")
		},
		"shallow": func(r *repo) string {
			r.gitCommand("clone", "-q", "--bare", "--depth=1", "file://"+r.dir, "shallow.git")
			return filepath.Join(filepath.Dir(r.dir), "shallow.git")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			r.push("main", map[string]string{"a": text, "b": text + "1"})
			r.push("main", map[string]string{"a": text + "2", "b": text + "3"})
			path := shape(r)
			server := serveHTTP(t, r)
			for _, url := range []string{path, server.URL + "/" + filepath.Base(path)} {
				if strings.Contains(name, "work tree") && url != path {
					continue // http-backend serves bare repositories
				}
				got := poll(t, open(t, Options{URL: url}))
				if content(t, got, "a") != text+"2" || content(t, got, "b") != text+"3" {
					t.Errorf("the files from %s differ", url)
				}
			}
		})
	}
}

func TestPollAndLastFromManySides(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": "1"})
	s := open(t, Options{URL: r.dir})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := s.Poll(t.Context()); err != nil || got.Commit == "" {
				t.Errorf("Poll() = %s, %v", got, err)
			}
			if last, ok := s.Last(); !ok || last.Dir == "" {
				t.Errorf("Last() = %s, %t", last, ok)
			}
		})
	}
	wg.Wait()
}

func TestHeadWithoutABranchStallsUntilOneIsNamed(t *testing.T) {
	everyTransport(t, func(t *testing.T, r *repo, o Options) {
		commit := r.push("trunk", map[string]string{"a": "1"})
		r.ref("HEAD", commit)
		pollStalls(t, open(t, o), ErrBranchGone)
		o.Selector.Branch = "trunk"
		poll(t, open(t, o))
	})
}

func TestFullDiskIsNamed(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		err := diskError(&fs.PathError{Op: "write", Path: "/x", Err: errno})
		if !errors.Is(err, reconcile.ErrDiskFull) || !errors.Is(err, errno) {
			t.Errorf("diskError(%v) = %v", errno, err)
		}
	}
	if err := diskError(syscall.EIO); errors.Is(err, reconcile.ErrDiskFull) {
		t.Error("a broken disk counts as full")
	}
}
