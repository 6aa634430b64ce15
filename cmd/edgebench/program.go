package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// program is a process that was started for the measurement, on one core.
type program struct {
	command *exec.Cmd
	said    *bytes.Buffer
	ended   chan error
}

func (s *stage) start(ctx context.Context, core string, files []*os.File, name string, args ...string) (*program, error) {
	path, err := lookUp(name)
	if err != nil {
		return nil, err
	}
	p := &program{command: exec.CommandContext(ctx, "taskset", append([]string{"--cpu-list", core, path}, args...)...), said: new(bytes.Buffer), ended: make(chan error, 1)}
	p.command.Stdout, p.command.Stderr, p.command.ExtraFiles = p.said, p.said, files
	// One thread does the work of those that would take more.
	p.command.Env = append(os.Environ(), "GOMAXPROCS=1", "HOME="+s.dir, "XDG_DATA_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir)
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.command.Cancel = func() error { return p.command.Process.Signal(syscall.SIGTERM) }
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.ended <- p.command.Wait() }()
	return p, nil
}

// lookUp finds a program of Debian's, whose daemons are not on everybody's path.
func lookUp(name string) (string, error) {
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		return path, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w; scripts/ensure-balancers haproxy nginx caddy wrk installs what is needed", err)
	}
	return path, nil
}

// stop ends the program and waits for it.
func (p *program) stop() error {
	err := p.command.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-p.ended:
		return err
	case <-time.After(startTimeout):
		return errors.Join(err, p.command.Process.Kill())
	}
}

// alive reports how the program ended, if it did.
func (p *program) alive() error {
	select {
	case err := <-p.ended:
		p.ended <- err
		return fmt.Errorf("%s ended: %w: %s", p.command.Args[3], err, p.said)
	default:
		return nil
	}
}

// family are the processes of p: itself, and its children's children.
func (p *program) family() []int {
	family := []int{p.command.Process.Pid}
	for i := 0; i < len(family); i++ {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", family[i]))
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				family = append(family, pid)
			}
		}
	}
	return family
}

// tick is the unit of /proc/PID/stat: USER_HZ, which Linux fixes at 100.
const tick = 10 * time.Millisecond

// used is the processor time that p has taken so far.
func (p *program) used() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range p.family() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The name in parentheses may hold anything; utime and stime are the 14th and 15th.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		for _, at := range []int{11, 12} {
			n, err := strconv.ParseInt(fields[at], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("processor time of %d: %w", pid, err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// memory is what p has to itself in memory, in bytes.
func (p *program) memory() (int64, error) {
	var sum int64
	for _, pid := range p.family() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			if after, ok := strings.CutPrefix(line, "RssAnon:"); ok {
				n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(after), " kB"), 10, 64)
				if err != nil {
					return 0, fmt.Errorf("memory of %d: %w", pid, err)
				}
				sum += n << 10
			}
		}
	}
	return sum, nil
}
