package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"davit/reconcile"
)

// pty is a terminal that a test looks at.
type pty struct {
	// terminal is what a program writes to.
	terminal *os.File
	mu       sync.Mutex
	seen     strings.Builder
}

// openPTY opens a terminal of that many columns.
func openPTY(t *testing.T, columns int) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	p := &pty{}
	if p.terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			p.mu.Lock()
			p.seen.Write(buffer[:n])
			p.mu.Unlock()
			if err != nil {
				return // nobody has the terminal any more
			}
		}
	}()
	t.Cleanup(func() {
		p.terminal.Close()
		<-ended
		master.Close()
	})
	return p
}

// output is all that was written so far.
func (p *pty) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

// until waits until that was written.
func (p *pty) until(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(p.output(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %q", text, p.output())
		}
	}
}

// screen is what is left of output on a screen, line by line.
func screen(t *testing.T, output string) []string {
	t.Helper()
	lines, row := []string{""}, 0
	for len(output) > 0 {
		switch {
		case strings.HasPrefix(output, "\x1b["):
			end := strings.IndexAny(output, "AJm")
			n := 0
			_, _ = fmt.Sscanf(output[2:end], "%d", &n)
			switch output[end] {
			case 'A':
				if row -= n; row < 0 {
					t.Fatalf("the cursor goes up above the first line")
				}
			case 'J':
				lines = append(lines[:row], "")
			}
			output = output[end+1:]
		case output[0] == '\r':
			output = output[1:]
		case output[0] == '\n':
			if row++; row == len(lines) {
				lines = append(lines, "")
			}
			output = output[1:]
		default:
			lines[row] += output[:1]
			output = output[1:]
		}
	}
	return lines
}

func happened(kind reconcile.EventKind, service, message string) reconcile.Event {
	return reconcile.Event{At: then, Stack: "shop", Service: service, Kind: kind, Severity: reconcile.SeverityInfo, Message: message, Seq: 7}
}

func TestOnATerminalAStepHasALineUntilItIsOver(t *testing.T) {
	p := openPTY(t, 60)
	clock := struct {
		sync.Mutex
		now time.Time
	}{now: then}
	c, _, _ := world(nil)
	c.Out, c.Width = p.terminal, widthOf(p.terminal, "xterm")
	c.Now = func() time.Time { clock.Lock(); defer clock.Unlock(); return clock.now }
	if c.Width == nil || c.Width() != 60 {
		t.Fatal("the terminal is not taken for one of 60 columns")
	}
	show := c.newProgress()
	show.event(happened(reconcile.EventReleaseStarted, "", "release #7 v2"))
	show.event(happened(reconcile.EventStepStarted, "web", "gate web/3  healthcheck within 2m"))
	show.event(happened(reconcile.EventStepStarted, "api", "drain api/1  until idle, at most 30s, and streams for at most 5m"))
	clock.Lock()
	clock.now = then.Add(4 * time.Second)
	clock.Unlock()
	p.until(t, "gate web/3 healthcheck within 2m  4s")
	mid := screen(t, p.output())
	show.event(happened(reconcile.EventStepDone, "web", "gate web/3  healthcheck within 2m: healthy after 4s"))
	show.event(happened(reconcile.EventStepFailed, "api", "drain api/1  until idle, at most 30s, and streams for at most 5m: cut"))
	show.event(happened(reconcile.EventReleaseSucceeded, "", "release #7 v2 succeeded"))
	show.close()
	p.until(t, "succeeded")

	last := mid[max(len(mid)-3, 0):]
	if len(mid) < 3 || !strings.Contains(mid[0], "release #7 v2") || !strings.HasPrefix(last[0], "  shop/api  drain api/1 until idle") || !strings.HasPrefix(last[1], "  shop/web  gate web/3") {
		t.Errorf("in the middle there stands\n%s", strings.Join(mid, "\n"))
	}
	for _, line := range last {
		if n := len([]rune(line)); n > 60 {
			t.Errorf("%d columns of 60: %q", n, line)
		}
	}
	end := screen(t, p.output())
	if text := strings.Join(end, "\n"); strings.Contains(text, "gate") || strings.Contains(text, "drain") || len(end) != 3 {
		t.Errorf("in the end there stands\n%s", text)
	}
}

func TestElsewhereEveryEventIsAPlainLine(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if widthOf(write, "xterm") != nil {
		t.Error("a pipe is taken for a terminal")
	}
	if p := openPTY(t, 80); widthOf(p.terminal, "dumb") != nil {
		t.Error("a terminal that cannot go back is taken for one that can")
	}
	c, _, _ := world(nil)
	c.Out = write
	show := c.newProgress()
	show.event(happened(reconcile.EventStepStarted, "web", "gate web/3"))
	show.event(happened(reconcile.EventStepDone, "web", "gate web/3: healthy after 4s"))
	show.close()
	write.Close()
	got, err := io.ReadAll(read)
	if err != nil || strings.Count(string(got), "\n") != 2 || strings.Contains(string(got), "\x1b") || !strings.Contains(string(got), "healthy after 4s") {
		t.Errorf("%q, %v", got, err)
	}
}

// onTerminal runs a command against a on a terminal, and returns all that it wrote.
func onTerminal(t *testing.T, a *fakeAgent, args ...string) string {
	t.Helper()
	p := openPTY(t, 100)
	got := askAs(t, a, func(c *console) { c.Out, c.Width = p.terminal, widthOf(p.terminal, "xterm") }, args...)
	if got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.err)
	}
	p.until(t, "succeeded")
	return p.output()
}

func TestApplyAndRollbackShowTheirProgressOnATerminal(t *testing.T) {
	for _, verb := range []string{"apply", "rollback"} {
		t.Run(verb, func(t *testing.T) {
			a := &fakeAgent{chapters: story(reconcile.SyncProgressing, reconcile.SyncProgressing, reconcile.SyncSynced)}
			a.obeyed = func() {
				for i, e := range []reconcile.Event{
					happened(reconcile.EventStepStarted, "web", "gate web/3"), happened(reconcile.EventStepDone, "web", "gate web/3: healthy"),
					happened(reconcile.EventReleaseSucceeded, "", "release #7 succeeded"),
				} {
					e.ID = int64(len(a.events) + i + 1)
					a.events = append(a.events, e)
				}
			}
			out := onTerminal(t, a, verb, "shop")
			if !strings.Contains(out, "gate web/3") || !strings.Contains(out, "\x1b[1A") {
				t.Errorf("%q", out)
			}
			if left := strings.Join(screen(t, out), "\n"); strings.Contains(left, "gate") {
				t.Errorf("left on the screen:\n%s", left)
			}
		})
	}
}
