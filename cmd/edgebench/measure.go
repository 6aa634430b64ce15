package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// size is how much is measured.
type size struct {
	davit             string
	runs, connections int
	each              time.Duration
	idle              int
}

// sample is one measurement.
type sample struct {
	perSecond float64
	p50, p99  time.Duration
	// perRequest is the processor time of the contender alone.
	perRequest time.Duration
}

// result is everything measured of one contender.
type result struct {
	name    string
	samples []sample
	// memory is what it has to itself after work with so many connections.
	memory map[int]int64
	// perIdle is what one idle connection takes, in bytes, of held ones.
	perIdle float64
	held    int
}

// crowds are the numbers of connections for which memory is shown.
func crowds() []int { return []int{1, 64, 1000} }

func (s size) run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "davit-edgebench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	st := &stage{dir: dir, davit: s.davit, ports: &ports{}}
	contenders, end, err := st.raise(ctx)
	defer end()
	if err != nil {
		return err
	}
	results := make([]result, len(contenders))
	for i, c := range contenders {
		results[i] = result{name: c.name, memory: map[int]int64{}}
	}
	// Memory comes first: what work has left behind hides what a connection takes.
	for i, c := range contenders {
		fmt.Fprintf(os.Stderr, "\rmemory: %-30s", c.name)
		if err := s.weigh(ctx, c, &results[i]); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for n := range s.runs {
		for i, c := range contenders {
			fmt.Fprintf(os.Stderr, "\rrun %d of %d: %-20s", n+1, s.runs, c.name)
			one, err := s.sample(ctx, c, s.connections)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			results[i].samples = append(results[i].samples, one)
		}
	}
	fmt.Fprintln(os.Stderr)
	_, err = io.WriteString(out, report{size: s, results: results}.String())
	return err
}

// raise starts the service and every contender. The end that it returns is to be called
// in any case.
func (s *stage) raise(ctx context.Context) (contenders []contender, end func(), err error) {
	var running []*program
	end = func() {
		for _, p := range running {
			_ = p.stop() // it may have ended
		}
	}
	addresses := make([]string, len(makers())+1)
	for i := range addresses {
		if addresses[i], err = s.ports.next(); err != nil {
			return nil, end, err
		}
	}
	s.ports.free()
	s.service = addresses[len(addresses)-1]
	service, err := s.serve(ctx)
	if err != nil {
		return nil, end, err
	}
	running = append(running, service)
	contenders = append(contenders, contender{name: "direct", address: s.service})
	for i, m := range makers() {
		programs, err := m.make(ctx, s, addresses[i])
		for _, p := range programs {
			if p != nil {
				running = append(running, p)
			}
		}
		if err != nil {
			return nil, end, fmt.Errorf("%s: %w", m.name, err)
		}
		contenders = append(contenders, contender{name: m.name, address: addresses[i], programs: programs, files: m.files})
	}
	for _, c := range contenders {
		if err := c.await(ctx); err != nil {
			return nil, end, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return contenders, end, nil
}

// await asks until the contender gives the service's answer.
func (c contender) await(ctx context.Context) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	deadline := time.Now().Add(startTimeout)
	for {
		err := c.ask(ctx, client)
		if err == nil {
			return nil
		}
		for _, p := range c.programs {
			err = errors.Join(err, p.alive())
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (c contender) ask(ctx context.Context, client *http.Client) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.address+"/", nil)
	if err != nil {
		return err
	}
	a, err := client.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err == nil && string(body) != strings.TrimSpace(answer) {
		err = fmt.Errorf("%s: %q", a.Status, body)
	}
	return err
}

func (c contender) used() (sum time.Duration, err error) {
	for _, p := range c.programs {
		used, err := p.used()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

func (c contender) memory() (sum int64, err error) {
	for _, p := range c.programs {
		n, err := p.memory()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// sample has wrk ask the contender for a while.
func (s size) sample(ctx context.Context, c contender, connections int) (sample, error) {
	before, err := c.used()
	if err != nil {
		return sample{}, err
	}
	seconds := max(1, int(s.each/time.Second))
	text, err := exec.CommandContext(ctx, "taskset", "--cpu-list", otherCore, "wrk", "--threads", "1",
		"--connections", strconv.Itoa(connections), "--duration", fmt.Sprintf("%ds", seconds), "--latency", "http://"+c.address+"/").CombinedOutput()
	if err != nil {
		return sample{}, fmt.Errorf("wrk: %w: %s", err, text)
	}
	after, err := c.used()
	if err != nil {
		return sample{}, err
	}
	one, requests, err := readWrk(string(text))
	if err != nil {
		return sample{}, fmt.Errorf("wrk: %w:\n%s", err, text)
	}
	one.perRequest = (after - before) / time.Duration(max(requests, 1))
	return one, nil
}

// readWrk reads what wrk prints. Answers other than 2xx, and errors of sockets, are an
// error: a proxy that fails quickly is not fast.
func readWrk(text string) (one sample, requests int64, err error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "50%":
			one.p50, err = time.ParseDuration(f[1])
		case len(f) == 2 && f[0] == "99%":
			one.p99, err = time.ParseDuration(f[1])
		case len(f) == 2 && f[0] == "Requests/sec:":
			one.perSecond, err = strconv.ParseFloat(f[1], 64)
		case len(f) > 3 && f[1] == "requests" && f[2] == "in":
			requests, err = strconv.ParseInt(f[0], 10, 64)
		case strings.Contains(line, "Non-2xx") || strings.Contains(line, "Socket errors"):
			err = errors.New(strings.TrimSpace(line))
		}
		if err != nil {
			return one, 0, err
		}
	}
	if requests == 0 {
		err = errors.New("it had no answer")
	}
	return one, requests, err
}

// weigh looks at memory: with idle clients, and after crowds of busy ones.
func (s size) weigh(ctx context.Context, c contender, r *result) error {
	if len(c.programs) == 0 {
		return nil
	}
	if err := s.weighIdle(c, r); err != nil {
		return err
	}
	short := s
	short.each = time.Second
	for _, n := range crowds() {
		if _, err := short.sample(ctx, c, n); err != nil {
			return err
		}
		var err error
		if r.memory[n], err = c.memory(); err != nil {
			return err
		}
	}
	return nil
}

func (s size) weighIdle(c contender, r *result) error {
	before, err := c.memory()
	if err != nil {
		return err
	}
	may, err := openFiles()
	if err != nil {
		return err
	}
	open, err := hold(c.address, min(s.idle, may/c.files))
	defer func() {
		for _, conn := range open {
			conn.Close()
		}
	}()
	if err != nil {
		return err
	}
	after, err := c.memory()
	r.held = len(open)
	r.perIdle = float64(after-before) / float64(max(len(open), 1))
	return err
}

// openFiles is how many files a process may have open here.
func openFiles() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	return int(min(limit.Max, math.MaxInt32)), nil
}

// hold opens connections, has one request answered on each, and keeps them.
func hold(address string, n int) (open []net.Conn, err error) {
	for range n {
		conn, err := net.DialTimeout("tcp", address, startTimeout)
		if err != nil {
			return open, err
		}
		open = append(open, conn)
		if err := conn.SetDeadline(time.Now().Add(startTimeout)); err != nil {
			return open, err
		}
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
			return open, err
		}
		a, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return open, fmt.Errorf("connection %d of %d: %w", len(open), n, err)
		}
		_, err = io.Copy(io.Discard, a.Body)
		if err = errors.Join(err, a.Body.Close()); err != nil {
			return open, err
		}
	}
	return open, nil
}
