package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
	"davit/traffic"
)

// edgeBed is a data directory, a stand-in for the engine, and containers that echo
// lines: what edges, as processes, are tested with.
type edgeBed struct {
	*testing.T
	binary, data, engine string
	containers           []*echoContainer
	generation           int64
}

// echoContainer stands in for a container: it listens on loopback and answers every
// line with its name and the line.
type echoContainer struct {
	id, name string
	started  time.Time
	address  netip.AddrPort
}

func newEdgeBed(t *testing.T, names ...string) *edgeBed {
	t.Helper()
	b := &edgeBed{T: t, binary: testbed.Davit(t), data: t.TempDir()}
	for i, name := range names {
		b.containers = append(b.containers, b.container(fmt.Sprintf("%064d", i+1), name))
	}
	b.engine = b.serveEngine()
	return b
}

func (b *edgeBed) container(id, name string) *echoContainer {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var talks sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	talks.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			talks.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				lines := bufio.NewScanner(conn)
				for lines.Scan() {
					if _, err := fmt.Fprintln(conn, name, lines.Text()); err != nil {
						return
					}
				}
			})
		}
	})
	b.Cleanup(func() {
		l.Close()
		cancel()
		talks.Wait()
	})
	return &echoContainer{id: id, name: name, started: time.Now().UTC(), address: l.Addr().(*net.TCPAddr).AddrPort()}
}

// serveEngine answers what the edge asks of an engine: that the containers run, and
// events that never come.
func (b *edgeBed) serveEngine() string {
	b.Helper()
	dir, err := os.MkdirTemp("", "edge-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(b.answer)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	b.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	})
	return "unix://" + filepath.Join(dir, "s")
}

func (b *edgeBed) answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	if strings.HasSuffix(r.URL.Path, "/events") {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	_, rest, asked := strings.Cut(r.URL.Path, "/containers/")
	if !asked {
		return
	}
	at := slices.IndexFunc(b.containers, func(c *echoContainer) bool { return rest == c.id+"/json" })
	if at < 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	c := b.containers[at]
	json.NewEncoder(w).Encode(map[string]any{
		"Id": c.id, "Config": map[string]any{}, "HostConfig": map[string]any{},
		"State":           map[string]any{"Status": "running", "Running": true, "StartedAt": c.started.Format(time.RFC3339Nano)},
		"NetworkSettings": map[string]any{"Networks": map[string]any{"n": map[string]any{"IPAddress": c.address.Addr().String()}}},
	})
}

// edgeLife is one edge, or one agent.
type edgeLife struct {
	t       *testing.T
	command *exec.Cmd
	log     logFile
	ended   chan struct{}
	err     error // valid once ended is closed
}

// logFile is what a process writes, and what it started and left behind: a pipe would
// keep the test waiting for those.
type logFile struct{ *os.File }

func (b *edgeBed) logFile() logFile {
	b.Helper()
	f, err := os.CreateTemp(b.TempDir(), "log-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return logFile{f}
}

func (l logFile) String() string {
	text, err := os.ReadFile(l.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// start begins an edge without waiting for it.
func (b *edgeBed) start(args ...string) *edgeLife {
	b.Helper()
	return b.begin("edge", args...)
}

// begin begins a davit without waiting for it.
func (b *edgeBed) begin(verb string, args ...string) *edgeLife {
	b.Helper()
	e := &edgeLife{t: b.T, log: b.logFile(), ended: make(chan struct{})}
	e.command = exec.Command(b.binary, append([]string{verb, "--data", b.data, "--engine", b.engine}, args...)...)
	e.command.Stdout, e.command.Stderr = e.log.File, e.log.File
	e.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := e.command.Start(); err != nil {
		b.Fatal(err)
	}
	go func() {
		e.err = e.command.Wait()
		close(e.ended)
	}()
	b.Cleanup(func() {
		_ = e.command.Process.Kill() // most have ended
		<-e.ended
		if b.Failed() {
			b.Logf("process %d, %s %v:\n%s", e.command.Process.Pid, verb, args, e.log)
		}
	})
	return e
}

// edge begins an edge and waits until it is the one that answers.
func (b *edgeBed) edge(args ...string) *edgeLife {
	b.Helper()
	e := b.start(args...)
	b.answers(e)
	return e
}

// answers waits until e is the edge that answers.
func (b *edgeBed) answers(e *edgeLife) {
	b.Helper()
	b.until(fmt.Sprintf("edge %d answers", e.command.Process.Pid), func() bool {
		c := b.client()
		defer c.Close()
		v, err := c.Versions(b.Context())
		return err == nil && v.PID == e.command.Process.Pid
	})
}

func (b *edgeBed) client() *traffic.Client { return traffic.NewClient(traffic.Socket(b.data)) }

// until waits for what must come about.
func (b *edgeBed) until(what string, is func() bool) {
	b.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("it did not come about that %s", what)
		}
	}
}

// end waits until the process has ended and returns its exit code, -1 for one that a
// signal ended.
func (e *edgeLife) end() int {
	e.t.Helper()
	select {
	case <-e.ended:
	case <-time.After(time.Minute):
		e.t.Fatalf("edge %d does not end", e.command.Process.Pid)
	}
	var exit *exec.ExitError
	switch {
	case e.err == nil:
		return 0
	case errors.As(e.err, &exit):
		return exit.ExitCode()
	}
	e.t.Fatal(e.err)
	return -1
}

func (e *edgeLife) signal(s syscall.Signal) {
	e.t.Helper()
	if err := e.command.Process.Signal(s); err != nil {
		e.t.Fatal(err)
	}
}

// freePort is a port that nobody listens at now.
func (b *edgeBed) freePort() netip.AddrPort {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// table is the next table: one TCP port with all containers behind it.
func (b *edgeBed) table(at netip.AddrPort) traffic.Table {
	b.generation++
	port := traffic.Port{Address: at, Stack: "shop", Service: "web", Protocol: traffic.ProtocolTCP}
	for i, c := range b.containers {
		port.Backends = append(port.Backends, traffic.Backend{
			Container: c.id, Started: c.started, Address: c.address, Replica: "web/" + strconv.Itoa(i+1), Release: 1,
		})
	}
	return traffic.Table{Instance: "test", Generation: b.generation, Ports: []traffic.Port{port}}
}

// apply has the edge serve t.
func (b *edgeBed) apply(t traffic.Table) {
	b.Helper()
	c := b.client()
	defer c.Close()
	ack, err := c.Apply(b.Context(), t)
	if err != nil || ack.Generation != t.Generation || len(ack.Closed) > 0 {
		b.Fatalf("%+v, %v", ack, err)
	}
}

func (b *edgeBed) state() traffic.State {
	b.Helper()
	c := b.client()
	defer c.Close()
	s, err := c.State(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// call is a client's connection.
type call struct {
	conn  net.Conn
	lines *bufio.Reader
}

func dialEdge(at netip.AddrPort) (*call, error) {
	conn, err := net.DialTimeout("tcp", at.String(), 30*time.Second)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	return &call{conn: conn, lines: bufio.NewReader(conn)}, nil
}

// say sends a line and returns who answered; the answer must be whole.
func (c *call) say(line string) (who string, err error) {
	if _, err := io.WriteString(c.conn, line+"\n"); err != nil {
		return "", err
	}
	answer, err := c.lines.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("after %q: %w", answer, err)
	}
	who, echo, _ := strings.Cut(strings.TrimSuffix(answer, "\n"), " ")
	if echo != line {
		return who, fmt.Errorf("said %q, heard %q", line, echo)
	}
	return who, nil
}

// callOnce dials, says one line, and hangs up.
func callOnce(at netip.AddrPort, line string) (who string, err error) {
	c, err := dialEdge(at)
	if err != nil {
		return "", err
	}
	defer c.conn.Close()
	return c.say(line)
}
