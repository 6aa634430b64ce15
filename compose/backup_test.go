package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// desk is a stack with one file that its container may change.
type desk struct {
	*testing.T
	data, file string
}

func newDesk(t *testing.T) desk {
	data := t.TempDir()
	return desk{t, data, filepath.Join(data, "stacks/repository/conf/a")}
}

// git writes a version of the file as a commit would.
func (d desk) git(content string) []Backup {
	d.Helper()
	backups, err := (Files{}).Write(at(d.T, d.data, merge(one(writableStack), map[string]string{"conf/a": content})))
	if err != nil {
		d.Fatal(err)
	}
	return backups
}

func (d desk) copies() []string {
	d.Helper()
	names, err := filepath.Glob(d.file + backupMark + "*")
	if err != nil {
		d.Fatal(err)
	}
	return names
}

func TestARevertRestoresWhatAContainerHadMadeOfTheVersion(t *testing.T) {
	d := newDesk(t)
	d.git("one")
	put(t, d.file, "edited")
	if b := d.git("two"); len(b) != 1 || b[0].Restored || read(t, b[0].Copy) != "edited" {
		t.Fatalf("got %v", b)
	}
	b := d.git("one")
	if len(b) != 1 || !b[0].Restored || read(t, d.file) != "edited" || len(d.copies()) != 0 {
		t.Errorf("got %v and %q, copies %v", b, read(t, d.file), d.copies())
	}
	if b := d.git("one"); b != nil || read(t, d.file) != "edited" {
		t.Errorf("a second time: %v and %q", b, read(t, d.file))
	}
	if b := d.git("two"); len(b) != 1 || read(t, d.file) != "two" {
		t.Errorf("forward again: %v and %q", b, read(t, d.file))
	}
}

func TestARevertOfAFileThatWasEditedSinceKeepsBothEdits(t *testing.T) {
	d := newDesk(t)
	d.git("one")
	put(t, d.file, "edited one")
	d.git("two")
	put(t, d.file, "edited two")
	if b := d.git("one"); len(b) != 1 || b[0].Restored || read(t, d.file) != "one" || len(d.copies()) != 2 {
		t.Errorf("got %v and %q, copies %v", b, read(t, d.file), d.copies())
	}
}

func TestABackupThatWasChangedIsNeitherTrustedNorOverwritten(t *testing.T) {
	d := newDesk(t)
	d.git("one")
	put(t, d.file, "edited")
	copied := d.git("two")[0].Copy
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	put(t, copied, "somebody else's")
	if b := d.git("one"); b != nil || read(t, d.file) != "one" {
		t.Errorf("got %v and %q", b, read(t, d.file))
	}
	put(t, d.file, "edited")
	b := d.git("two")
	if len(b) != 1 || b[0].Copy != copied+"-2" || read(t, copied) != "somebody else's" || read(t, b[0].Copy) != "edited" {
		t.Errorf("got %v", b)
	}
}

func TestBackupsOfOneFileDoNotGrowWithoutEnd(t *testing.T) {
	d := newDesk(t)
	d.git("0")
	// A neighbour whose name begins alike has backups of its own.
	neighbour := d.file + "b" + backupMark + strings.Repeat("0", 12)
	put(t, neighbour, "x")
	last := ""
	for i := range 3 * maxBackups {
		put(t, d.file, fmt.Sprintf("edit %d", i))
		made := time.Unix(int64(1_000_000+i), 0)
		if err := os.Chtimes(d.file, made, made); err != nil {
			t.Fatal(err)
		}
		last = d.git(fmt.Sprintf("commit %d", i))[0].Copy
	}
	copies := d.copies()
	if len(copies) != maxBackups || read(t, last) != fmt.Sprintf("edit %d", 3*maxBackups-1) {
		t.Errorf("%d backups are kept: %v", len(copies), copies)
	}
	for _, name := range copies {
		var n int
		if _, err := fmt.Sscanf(read(t, name), "edit %d", &n); err != nil || n < 2*maxBackups {
			t.Errorf("%s holds %q: an older one was kept", name, read(t, name))
		}
	}
	if read(t, neighbour) != "x" {
		t.Error("another file's backup is gone")
	}
}

// A container that mounts the single file goes on writing to what it has open.
func TestWhatIsWrittenToAReplacedFileEndsInItsBackup(t *testing.T) {
	d := newDesk(t)
	d.git("one")
	put(t, d.file, "edited")
	open, err := os.OpenFile(d.file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	b := d.git("two")
	if _, err := open.WriteString(" and more"); err != nil {
		t.Fatal(err)
	}
	if read(t, b[0].Copy) != "edited and more" || read(t, d.file) != "two" {
		t.Errorf("the backup holds %q, the file %q", read(t, b[0].Copy), read(t, d.file))
	}
}
