package testbed

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Composer is Docker Compose's own command, on the bed's engine.
type Composer struct {
	tb     TB
	binary string
	host   string
}

// Composer builds Docker Compose from the module under tools and points it at the bed's engine.
func (b *Bed) Composer() *Composer {
	b.tb.Helper()
	binary, err := composerProgram()
	if err != nil {
		b.tb.Fatalf("Docker Compose is what this test compares with: %v", err)
	}
	return &Composer{tb: b.tb, binary: binary, host: b.Engine.Host}
}

// Try runs a command of Compose's in dir.
func (c *Composer) Try(dir string, args ...string) Answer {
	c.tb.Helper()
	ctx, cancel := context.WithTimeout(c.tb.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, c.binary, append([]string{"-C", dir}, args...)...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "DOCKER_HOST=" + c.host}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.tb.Fatalf("compose %s: %v", strings.Join(args, " "), err)
	}
	return Answer{Stdout: stdout.String(), Stderr: stderr.String(), Code: exitCode(err)}
}

// Run is Try for what must succeed.
func (c *Composer) Run(dir string, args ...string) Answer {
	c.tb.Helper()
	a := c.Try(dir, args...)
	if a.Code != 0 {
		c.tb.Fatalf("compose %s: exit code %d\n%s%s", strings.Join(args, " "), a.Code, a.Stdout, a.Stderr)
	}
	return a
}
