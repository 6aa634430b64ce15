package testbed

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"davit/traffic"
)

// Agent is `davit run` as a child process, and the commands that talk to it. A
// process that ended can be started again on the same data.
type Agent struct {
	// Data is its data directory; Host the engine that it was pointed at.
	Data, Host string
	// Args follow `davit run`, Env adds to an otherwise almost empty environment.
	Args, Env []string
	// Patience is how long a Wait method waits.
	Patience time.Duration

	tb     TB
	binary string
	home   string
	log    *journal

	mu      sync.Mutex
	process *process
}

// process is one life of the agent.
type process struct {
	command *exec.Cmd
	ended   chan struct{}
	err     error // valid once ended is closed
	wanted  bool  // the end was asked for
}

// Edge is a command, made by in, that is the agent's edge wherever that puts it.
func (a *Agent) Edge(in func(name string, args ...string) *exec.Cmd) *exec.Cmd {
	return in(a.binary, "edge", "--data", a.Data, "--engine", a.Host)
}

// Start begins a life. The agent dies with the test, even when that is killed.
func (a *Agent) Start() {
	a.tb.Helper()
	command := exec.Command(a.binary, append([]string{"run"}, a.Args...)...)
	command.Env = a.environment()
	command.Stdout, command.Stderr = a.log, a.log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.process != nil && !a.process.over() {
		a.tb.Fatalf("start davit: it runs already")
	}
	if err := command.Start(); err != nil {
		a.tb.Fatalf("start davit: %v", err)
	}
	p := &process{command: command, ended: make(chan struct{})}
	a.process = p
	go func() {
		p.err = command.Wait()
		close(p.ended)
	}()
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Kill ends the agent with SIGKILL and returns when it is gone.
func (a *Agent) Kill() { a.end(syscall.SIGKILL, 10*time.Second) }

// Stop ends the agent with SIGTERM and returns its exit code.
func (a *Agent) Stop() int { return a.end(syscall.SIGTERM, 30*time.Second) }

// Signal sends a signal that does not end it, such as SIGHUP to poll now.
func (a *Agent) Signal(signal syscall.Signal) {
	a.tb.Helper()
	p := a.life()
	if p == nil || p.over() {
		a.tb.Fatalf("signal davit: it does not run")
	}
	if err := p.command.Process.Signal(signal); err != nil {
		a.tb.Fatalf("signal davit: %v", err)
	}
}

// Wait returns the exit code of an agent that ends by itself.
func (a *Agent) Wait(limit time.Duration) int {
	a.tb.Helper()
	p := a.life()
	p.expect(a)
	select {
	case <-p.ended:
	case <-time.After(limit):
		a.tb.Fatalf("davit still runs after %s", limit)
	}
	return exitCode(p.err)
}

// Running reports whether the process lives.
func (a *Agent) Running() bool {
	p := a.life()
	return p != nil && !p.over()
}

// Log is what the agent has written so far, in all its lives.
func (a *Agent) Log() string { return a.log.String() }

func (a *Agent) life() *process {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.process
}

// expect says that the end of this life is no accident.
func (p *process) expect(a *Agent) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.wanted = true
}

// died returns how the agent ended if nobody asked it to.
func (a *Agent) died() (error, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.process
	if p == nil || p.wanted || !p.over() {
		return nil, false
	}
	return p.err, true
}

func (a *Agent) end(signal syscall.Signal, limit time.Duration) int {
	a.tb.Helper()
	p := a.life()
	if p == nil {
		return 0
	}
	p.expect(a)
	_ = p.command.Process.Signal(signal) // it may be gone already
	select {
	case <-p.ended:
	case <-time.After(limit):
		_ = p.command.Process.Kill()
		<-p.ended
		a.tb.Errorf("davit did not end within %s of %s", limit, signal)
	}
	return exitCode(p.err)
}

// endEdge ends the edge that the agent has left running, as it should.
func (a *Agent) endEdge() {
	client := traffic.NewClient(traffic.Socket(a.Data))
	defer client.Close()
	// The bed's own context has ended when this is called.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if v, err := client.Versions(ctx); err == nil {
		_ = syscall.Kill(v.PID, syscall.SIGKILL) // it may have ended
	}
}

// environment keeps the operator's own settings and credentials out.
func (a *Agent) environment() []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + a.home,
		"DOCKER_CONFIG=" + filepath.Join(a.home, ".docker"),
		"LC_ALL=C",
	}, a.Env...)
}

// exitCode is 0 for success and -1 for a process that a signal ended.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// Answer is what a command printed and how it ended.
type Answer struct {
	Stdout, Stderr string
	Code           int
}

// CLI runs a davit command against this agent's data directory and engine.
func (a *Agent) CLI(args ...string) Answer {
	a.tb.Helper()
	ctx, cancel := context.WithTimeout(a.tb.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, a.binary, append(args, "--data", a.Data)...)
	command.Env = append(a.environment(), "DAVIT_ENGINE="+a.Host)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		a.tb.Fatalf("davit %s: %v", strings.Join(args, " "), err)
	}
	return Answer{Stdout: stdout.String(), Stderr: stderr.String(), Code: exitCode(err)}
}

// journal keeps everything written to it; a process and its reader share it.
type journal struct {
	mu      sync.Mutex
	content bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.content.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.content.String()
}

// tail is the last lines of text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
