package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/docker/docker/api/types/container"
)

// kernel writes what a kernel tells of a process.
func kernel(t *testing.T, root string, pid, parent int, name, cgroup string) {
	t.Helper()
	dir := filepath.Join(root, fmt.Sprint(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"stat": fmt.Sprintf("%d (%s) S %d 1 1 0", pid, name, parent), "cgroup": cgroup} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProcessesAreFoundByTheControlGroupsOfTheirContainers(t *testing.T) {
	t.Parallel()
	web, db, other := strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 64)
	root := t.TempDir()
	kernel(t, root, 1, 0, "init", "0::/\n")
	kernel(t, root, 20, 1, "containerd-shim", "0::/system.slice/containerd.service\n")
	kernel(t, root, 30, 20, "web) S 31 (", "9:name=systemd:/docker/"+web+"\n8:pids:/docker/"+web+"\n")
	kernel(t, root, 31, 30, "worker", "9:name=systemd:/docker/"+web+"\n8:pids:/docker/"+web+"\n")
	kernel(t, root, 32, 20, "health check", "0::/docker/"+web+"\n")
	kernel(t, root, 40, 20, "postgres", "0::/system.slice/docker-"+db+".scope\n")
	kernel(t, root, 41, 40, "nested", "0::/system.slice/docker-"+db+".scope/docker/"+other+"\n")
	if err := os.Mkdir(filepath.Join(root, "50"), 0o755); err != nil { // it has just ended
		t.Fatal(err)
	}
	p := procFS(root)
	found := p.inside([]string{web, db})
	for _, pids := range found {
		slices.Sort(pids)
	}
	if got, want := fmt.Sprint(found[web], found[db]), "[30 31 32] [40 41]"; got != want {
		t.Errorf("inside web and db are %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(p.firsts(found[web]), p.firsts(found[db])), "[30 32] [40]"; got != want {
		t.Errorf("the first of them are %s, want %s", got, want)
	}
}

func TestAProcessThatIsInNoSuchContainerIsNotSignalled(t *testing.T) {
	t.Parallel()
	if err := procFS("/proc").signal(os.Getpid(), strings.Repeat("a", 64), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestAStopSignalIsReadAsTheEngineReadsIt(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]syscall.Signal{
		"": syscall.SIGTERM, "SIGQUIT": syscall.SIGQUIT, "quit": syscall.SIGQUIT, "2": syscall.SIGINT, "nonsense": syscall.SIGTERM,
	} {
		if got := stopSignal(&container.Config{StopSignal: written}); got != want {
			t.Errorf("%q is %s, want %s", written, got, want)
		}
	}
}
