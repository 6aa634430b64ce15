package compose

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// at is a stack of files that is loaded for and written to the data directory.
func at(t *testing.T, data string, files map[string]string) *Project {
	t.Helper()
	root := write(t, files)
	if _, ok := files["bin/run"]; ok {
		if err := os.Chmod(filepath.Join(root, "bin/run"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	o := options(root)
	o.DataDir = data
	p, err := Load(t.Context(), find(t, root), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const immutableStack = "services: {a: {image: a, volumes: ['./conf:/c:ro', './bin:/b:ro'], secrets: [s]}}\nsecrets: {s: {file: ./secret}}"

func TestImmutableContentIsWrittenOnceAndReadable(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	data := t.TempDir()
	p := at(t, data, map[string]string{"compose.yaml": immutableStack, "conf/deep/a": "a", "bin/run": "#!", "secret": "s"})
	if _, err := (Files{}).Write(p); err != nil {
		t.Fatal(err)
	}
	volumes := p.Services[0].Config.Volumes
	for name, mode := range map[string]fs.FileMode{
		volumes[0].Source: 0o755, volumes[0].Source + "/deep": 0o755, volumes[0].Source + "/deep/a": 0o644,
		volumes[1].Source + "/run": 0o755, p.Model.Secrets["s"].File: 0o644,
	} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want %v", name, info, err, mode)
		}
	}
	if got := read(t, volumes[0].Source+"/deep/a"); got != "a" {
		t.Errorf("content %q", got)
	}
	before := snapshot(t, data)
	if _, err := (Files{}).Write(p); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, data); !slices.Equal(before, after) {
		t.Errorf("a second time changed\n%v\nto\n%v", before, after)
	}
	for _, name := range before {
		if strings.Contains(name, temporary) {
			t.Errorf("%s was left behind", name)
		}
	}
}

// snapshot lists everything below dir with its time of change.
func snapshot(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		list = append(list, name+" "+info.ModTime().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestContentThatChangedSinceItWasLoadedIsNotWritten(t *testing.T) {
	data := t.TempDir()
	p := at(t, data, map[string]string{"compose.yaml": immutableStack, "conf/a": "a", "bin/run": "#!", "secret": "s"})
	for _, c := range p.Content {
		if filepath.Base(c.From) == "secret" {
			put(t, c.From, "another")
		}
	}
	_, err := (Files{}).Write(p)
	if err == nil || !strings.Contains(err.Error(), "is not what it was when the stack was loaded") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(p.Model.Secrets["s"].File); err == nil {
		t.Error("it was written all the same")
	}
}

func TestRollingBackNeedsNoSourceOnceContentIsThere(t *testing.T) {
	data := t.TempDir()
	p := at(t, data, map[string]string{"compose.yaml": immutableStack, "conf/a": "a", "bin/run": "#!", "secret": "s"})
	if _, err := (Files{}).Write(p); err != nil {
		t.Fatal(err)
	}
	stored, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Content {
		if err := os.RemoveAll(c.From); err != nil {
			t.Fatal(err)
		}
	}
	back, err := Unmarshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Files{}).Write(back); err != nil {
		t.Error(err)
	}
}

const writableStack = "services: {a: {image: a, volumes: ['./conf:/c']}}"

func TestWritableContentIsUpdatedFileByFile(t *testing.T) {
	data := t.TempDir()
	update := func(files map[string]string) []Backup {
		t.Helper()
		backups, err := (Files{}).Write(at(t, data, merge(one(writableStack), files)))
		if err != nil {
			t.Fatal(err)
		}
		return backups
	}
	dir := filepath.Join(data, "stacks/repository/conf")
	if b := update(map[string]string{"conf/a": "1", "conf/b": "1"}); b != nil {
		t.Errorf("a first write backed up %v", b)
	}
	put(t, filepath.Join(dir, "b"), "container")
	put(t, filepath.Join(dir, "c"), "container")

	if b := update(map[string]string{"conf/a": "2", "conf/b": "1"}); b != nil {
		t.Errorf("backed up %v although Git's b did not change", b)
	}
	if a, b := read(t, filepath.Join(dir, "a")), read(t, filepath.Join(dir, "b")); a != "2" || b != "container" {
		t.Errorf("a is %q and b is %q", a, b)
	}

	backups := update(map[string]string{"conf/a": "2", "conf/b": "3", "conf/c": "3"})
	if len(backups) != 2 {
		t.Fatalf("backed up %v", backups)
	}
	for _, b := range backups {
		if got := read(t, b.Copy); got != "container" || filepath.Dir(b.Copy) != filepath.Dir(b.File) || read(t, b.File) != "3" {
			t.Errorf("%v holds %q, and the file %q", b, got, read(t, b.File))
		}
	}
	if b := update(map[string]string{"conf/a": "2", "conf/b": "3", "conf/c": "3"}); b != nil {
		t.Errorf("a second time backed up %v", b)
	}
	put(t, filepath.Join(data, "stacks/repository.written.json"), "{tor")
	if b := update(map[string]string{"conf/a": "4", "conf/b": "3"}); len(b) != 1 {
		t.Errorf("without its memory davit backed up %v", b)
	}
}

func TestWritableContentGoesBackWithoutItsSource(t *testing.T) {
	data := t.TempDir()
	old := at(t, data, merge(one(writableStack), map[string]string{"conf/a": "1"}))
	if _, err := (Files{}).Write(old); err != nil {
		t.Fatal(err)
	}
	if _, err := (Files{}).Write(at(t, data, merge(one(writableStack), map[string]string{"conf/a": "2"}))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(old.Content[0].From); err != nil {
		t.Fatal(err)
	}
	backups, err := (Files{}).Write(old)
	if err != nil || backups != nil {
		t.Fatal(backups, err)
	}
	if got := read(t, filepath.Join(data, "stacks/repository/conf/a")); got != "1" {
		t.Errorf("content %q", got)
	}
}

func TestAWritableFileKeepsItsOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("only root can give files away; the rest of the test holds for anybody")
	}
	data := t.TempDir()
	write := func(content string) {
		if _, err := (Files{}).Write(at(t, data, merge(one(writableStack), map[string]string{"conf/a": content}))); err != nil {
			t.Fatal(err)
		}
	}
	write("1")
	name := filepath.Join(data, "stacks/repository/conf/a")
	uid := os.Getuid()
	if uid == 0 {
		uid = 1234
		if err := os.Chown(name, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	write("2")
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := int(info.Sys().(*syscall.Stat_t).Uid); got != uid || read(t, name) != "2" {
		t.Errorf("owner %d, want %d", got, uid)
	}
}

// A container that can write to its directory must not make davit, which is
// root, write elsewhere.
func TestALinkInTheWayLeadsNowhere(t *testing.T) {
	data, outside := t.TempDir(), t.TempDir()
	put(t, filepath.Join(outside, "a"), "precious")
	if err := os.MkdirAll(filepath.Join(data, "stacks/repository"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := at(t, data, merge(one(writableStack), map[string]string{"conf/a": "new"}))
	for _, link := range []string{"conf", "conf/a"} {
		name := filepath.Join(data, "stacks/repository", link)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		target := outside
		if link == "conf/a" {
			target = filepath.Join(outside, "a")
		}
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
		_, err := (Files{}).Write(p)
		if err == nil || !strings.Contains(err.Error(), "update files of stack repository in ") {
			t.Errorf("%s: %v", link, err)
		}
		if got := read(t, filepath.Join(outside, "a")); got != "precious" {
			t.Fatalf("%s: davit wrote %q outside", link, got)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// /dev/full is a disk that has no room; a file in the place of a directory is one
// that cannot be written to.
func TestADiskThatTakesNothingIsNamed(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(t.TempDir(), "source")
	put(t, source, "content")
	if err := (item{source: source}).fill(full); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	data := t.TempDir()
	put(t, filepath.Join(data, "files"), "in the way")
	_, err = (Files{}).Write(at(t, data, map[string]string{"compose.yaml": immutableStack, "conf/a": "a", "bin/run": "#!", "secret": "s"}))
	if !errors.Is(err, syscall.ENOTDIR) || !strings.HasPrefix(err.Error(), "write content of stack repository to "+data) {
		t.Errorf("got %v", err)
	}
}
