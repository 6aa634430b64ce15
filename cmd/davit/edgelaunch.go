package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"davit/traffic"
)

// launchPatience is what a new edge has until it answers.
const launchPatience = 30 * time.Second

// edgeLaunch starts an edge that outlives who starts it.
type edgeLaunch struct {
	config   Config
	takeover bool
	getenv   func(string) string
}

// start returns once the new edge serves.
func (l edgeLaunch) start(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("start the edge: %w", err)
	}
	output, err := l.output()
	if err != nil {
		return fmt.Errorf("start the edge: %w", err)
	}
	defer output.Close()
	began, err := output.Seek(0, io.SeekEnd)
	if err != nil {
		began = 0 // it is no file
	}
	command := exec.Command(program, l.arguments()...)
	command.Stdout, command.Stderr, command.Dir = output, output, "/"
	// In a session of its own, neither the terminal's end nor its Ctrl-C ends it.
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the edge: %w", err)
	}
	// Its end is waited for until it serves; from then on, when this process has ended,
	// by whoever adopts it.
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, launchPatience)
	defer cancel()
	if err := l.answers(ctx, command.Process.Pid, ended); err != nil {
		_ = command.Process.Kill() // it may have ended
		return fmt.Errorf("start the edge: %w%s", err, l.tail(began))
	}
	return nil
}

func (l edgeLaunch) arguments() []string {
	args := []string{"edge", "--data", l.config.Data, "--engine", l.config.Engine, "--log-format", l.config.LogFormat, "--log-level", l.config.LogLevel}
	if l.takeover {
		args = append(args, "--takeover")
	}
	return args
}

// answers waits until the process answers on the edge's socket.
func (l edgeLaunch) answers(ctx context.Context, pid int, ended <-chan error) error {
	client := traffic.NewClient(traffic.Socket(l.config.Data))
	defer client.Close()
	for {
		v, err := client.Versions(ctx)
		if err == nil && v.PID == pid {
			return nil
		}
		client.Close() // who answers next may be another
		select {
		case err := <-ended:
			if err == nil {
				err = errors.New("exit status 0")
			}
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// kept reports whether the launched edge writes where its launcher does: under a
// service manager, that is the journal.
func (l edgeLaunch) kept() bool { return l.getenv("NOTIFY_SOCKET") != "" }

func (l edgeLaunch) log() string { return filepath.Join(traffic.Dir(l.config.Data), "log") }

func (l edgeLaunch) said() string {
	if l.kept() {
		return "with the log of this process"
	}
	return "with its log in " + l.log()
}

// output is where the edge logs to.
func (l edgeLaunch) output() (*os.File, error) {
	if l.kept() {
		n, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(n), "stderr"), nil
	}
	if err := os.MkdirAll(traffic.Dir(l.config.Data), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(l.log(), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
}

// tail is what the edge has said since it was started.
func (l edgeLaunch) tail(from int64) string {
	f, err := os.Open(l.log())
	if err != nil || l.kept() {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, from, 4<<10))
	if err != nil || len(text) == 0 {
		return ""
	}
	return "\n" + strings.TrimSpace(string(text))
}
