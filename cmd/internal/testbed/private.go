package testbed

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// PrivateEngine is a second Docker Engine for tests that restart or kill it, in a
// network namespace of its own and with a containerd of its own. It needs root and
// dockerd. No registry on loopback can be reached from it: images are put into it
// with Load.
type PrivateEngine struct {
	*Engine

	tb         TB
	dir        string
	args       []string
	space      *exec.Cmd // keeps the network namespace open
	containerd *exec.Cmd
	dockerd    *exec.Cmd
}

// addressPool is dockerd's option for the addresses of networks. Its own pools
// hold few networks, so a private engine has room for a thousand unless told
// otherwise.
const addressPool = "--default-address-pool"

// NewPrivateEngine starts an engine that ends with its owner. Args add to those of
// dockerd, such as "--live-restore".
func NewPrivateEngine(tb TB, args ...string) *PrivateEngine {
	tb.Helper()
	dir, err := os.MkdirTemp("", "davit-engine-")
	if err != nil {
		tb.Fatalf("make a private engine: %v", err)
	}
	p := &PrivateEngine{tb: tb, dir: dir, args: args}
	tb.Cleanup(p.close)
	if p.Engine, err = NewEngine("unix://" + filepath.Join(dir, "d.sock")); err != nil {
		tb.Fatalf("make a private engine: %v", err)
	}
	p.space = p.spawn(&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}, "sleep", "infinity")
	if err := p.loopback(); err != nil {
		tb.Fatalf("make a private engine: %v", err)
	}
	p.containerd = p.spawn(&syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}, "containerd",
		"--root", p.path("cd"), "--state", p.path("cds"), "--address", p.path("cd.sock"))
	p.Start()
	return p
}

func (p *PrivateEngine) path(name string) string { return filepath.Join(p.dir, name) }

// spawn starts a daemon that writes to NAME.log.
func (p *PrivateEngine) spawn(how *syscall.SysProcAttr, name string, args ...string) *exec.Cmd {
	p.tb.Helper()
	log, err := os.OpenFile(p.path(filepath.Base(name)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.tb.Fatalf("start %s: %v", name, err)
	}
	defer log.Close()
	command := exec.Command(name, args...)
	command.Stdout, command.Stderr, command.SysProcAttr = log, log, how
	if err := command.Start(); err != nil {
		p.tb.Fatalf("start %s: %v", name, err)
	}
	return command
}

// Start starts dockerd and returns when it answers. A file that a killed one left
// would keep it from starting.
func (p *PrivateEngine) Start() {
	p.tb.Helper()
	_ = os.Remove(p.path("pid"))
	args := append([]string{"--net=" + p.namespace(), "dockerd",
		"--containerd", p.path("cd.sock"), "--data-root", p.path("data"), "--exec-root", p.path("exec"),
		"--pidfile", p.path("pid"), "--host", p.Host}, p.args...)
	if !slices.Contains(p.args, addressPool) {
		args = append(args, addressPool, "base=10.200.0.0/16,size=26")
	}
	p.dockerd = p.spawn(&syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}, "nsenter", args...)
	deadline := time.Now().Add(time.Minute)
	for {
		ctx, cancel := context.WithTimeout(p.tb.Context(), 2*time.Second)
		err := p.Ping(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || p.tb.Context().Err() != nil {
			log, _ := os.ReadFile(p.path("nsenter.log")) // there may be none
			p.tb.Fatalf("private engine does not answer: %v\n%s", err, tail(string(log), 20))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Kill ends dockerd with SIGKILL; its containers live on without it.
func (p *PrivateEngine) Kill() { p.end(syscall.SIGKILL) }

// Stop ends dockerd with SIGTERM, which ends its containers unless they are to
// live on.
func (p *PrivateEngine) Stop() { p.end(syscall.SIGTERM) }

func (p *PrivateEngine) end(signal syscall.Signal) {
	if p.dockerd == nil {
		return
	}
	stop(p.dockerd, signal)
	p.dockerd = nil
}

// stop waits for a daemon to end and does not wait for ever.
func stop(command *exec.Cmd, signal syscall.Signal) {
	_ = command.Process.Signal(signal)
	hurry := time.AfterFunc(30*time.Second, func() { _ = command.Process.Kill() })
	defer hurry.Stop()
	_ = command.Wait()
}

// close ends everything, from the top down, and deletes what it wrote.
func (p *PrivateEngine) close() {
	if p.dockerd != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(p.tb.Context()), time.Minute)
		defer cancel()
		if left, err := p.containers(ctx, ""); err == nil {
			for _, c := range left {
				_ = p.RemoveContainer(ctx, c.ID)
			}
		}
		p.Stop()
	}
	if p.containerd != nil {
		stop(p.containerd, syscall.SIGTERM)
	}
	if p.space != nil {
		stop(p.space, syscall.SIGKILL)
	}
	p.unmount()
	if err := os.RemoveAll(p.dir); err != nil {
		p.tb.Errorf("remove private engine: %v", err)
	}
}

// unmount lets go of what the engine mounted below its directory, innermost first.
func (p *PrivateEngine) unmount() {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		p.tb.Errorf("remove private engine: %v", err)
		return
	}
	lines := strings.Split(string(table), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		fields := strings.Fields(lines[i])
		if len(fields) > 4 && strings.HasPrefix(fields[4], p.dir+"/") {
			_ = syscall.Unmount(fields[4], syscall.MNT_DETACH)
		}
	}
}
