package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

func TestADamagedRecordIsReplacedAndNothingIsRestarted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, data string)
	}{
		{"a database that holds garbage", func(t *testing.T, data string) {
			keep(t, filepath.Join(data, "state.db"), strings.Repeat("garbage ", 4096))
		}},
		{"a database without its snapshots", func(t *testing.T, data string) {
			for _, name := range glob(t, filepath.Join(data, "*")) {
				if info, err := os.Stat(name); err == nil && strings.Contains(filepath.Base(name), "snapshot") {
					t.Logf("removing %s (%d bytes)", name, info.Size())
					if err := os.RemoveAll(name); err != nil {
						t.Fatal(err)
					}
				}
			}
			keep(t, filepath.Join(data, "state.db"), strings.Repeat("garbage ", 4096))
		}},
	} {
		t.Run(c.name+" is set aside with an event", func(t *testing.T) {
			s := openSite(t, "record", testbed.Run{})
			s.recovers()
			unharmed := untouched(t, s.shop)
			s.agent.Stop()
			c.damage(t, s.agent.Data)
			s.agent.Start()
			s.deployed(s.repo.Head())
			tells(t, s.agent, 0, "StateRecovered", "state database", "moved to")
			if len(glob(t, filepath.Join(s.agent.Data, "state.db.corrupt-*"))) == 0 {
				t.Error("the damaged database is gone")
			}
			unharmed()
			s.recovers()
		})
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTwoAgentsOnOneDirectoryAreNotBothLetIn(t *testing.T) {
	t.Parallel()
	s := openSite(t, "twins", testbed.Run{})
	unharmed := untouched(t, s.shop)
	twin := s.bed.NewAgent(testbed.Run{Repo: s.repo.URL, Data: s.agent.Data})
	twin.Start()
	if code := twin.Wait(time.Minute); code != 1 {
		t.Errorf("exit code of the second agent = %d, want 1", code)
	}
	if log := twin.Log(); !strings.Contains(log, s.agent.Data) || !strings.Contains(log, "another") {
		t.Errorf("the second agent does not say why:\n%s", log)
	}
	unharmed()
	s.recovers()
}

func TestAFullDiskStopsReleasesAndNothingElse(t *testing.T) {
	t.Parallel()
	disk := mountDisk(t, 96<<20)
	s := newSite(t, "full", testbed.Run{})
	proxy := s.bed.Proxy()
	s.agent = s.bed.NewAgent(testbed.Run{Repo: s.repo.URL, Engine: proxy.Host, Data: filepath.Join(disk, "data")})
	s.agent.Patience = 2 * time.Minute
	commit := s.edit()
	s.agent.Start()
	s.deployed(commit)

	for _, c := range []struct {
		name string
		left int64
		sync string
		kind string
		says []string
	}{
		{"a disk with too little room for a release", 16 << 20, "waiting", "Waiting", []string{"disk full", "left and needs 32"}},
		{"a disk without any room", 0, "synced", "SourceFailed", []string{"disk full", "no space left"}},
	} {
		t.Run(c.name+" refuses it before anything is changed", func(t *testing.T) {
			unharmed, from := untouched(t, s.shop), mark(t, s.agent)
			proxy.Forget()
			free := fill(t, disk, c.left)
			commit := s.edit()
			s.poll()
			s.stands(c.sync, c.says...)
			if changed := proxy.Mutations(); len(changed) > 0 {
				t.Errorf("the engine was asked to change things: %v", changed)
			}
			unharmed()
			free()
			s.poll()
			s.deployed(commit)
			tells(t, s.agent, from, c.kind, c.says...)
			s.recovers()
		})
	}
}

// mountDisk is a disk of its own, as small as a test wants it.
func mountDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(size)); err != nil {
		t.Fatalf("mount a small disk, which needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill leaves so many bytes on a disk, until free is called.
func fill(t *testing.T, disk string, left int64) (free func()) {
	t.Helper()
	path := filepath.Join(disk, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st syscall.Statfs_t
	if err := syscall.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	if size := int64(st.Bavail)*st.Bsize - left; size > 0 {
		if err := syscall.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
			t.Fatalf("fill the disk: %v", err)
		}
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
