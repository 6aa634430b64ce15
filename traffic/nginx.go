package traffic

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Nginx drives a running nginx through a file of upstreams, which its configuration
// includes at the level of http:
//
//	include /etc/nginx/conf.d/*.conf;
//
// and which davit alone writes. Each port is an upstream that a server of the operator's
// passes to: `proxy_pass http://davit.shop.web.8080;`.
//
// nginx cannot say what a server of an upstream has in flight. Its workers can: those
// of before a reload go on with what they have begun, and end. As long as one of them is
// left, whoever was taken out may still have something to do.
type Nginx struct {
	// File is the file of upstreams.
	File string
	// PID is the path of the file in which the master process keeps its own. Default
	// /run/nginx.pid.
	PID string
	// Test and Reload are commands. Default `nginx -t -q` and `nginx -s reload`.
	Test, Reload []string
	// Timeout bounds each command, and the wait for new workers. Default 30 s.
	Timeout time.Duration
}

const (
	nginxTimeout  = 30 * time.Second
	nginxPID      = "/run/nginx.pid"
	nginxHeaviest = 100
	workerEvery   = 20 * time.Millisecond
	// upstreamMode lets nginx read the file as whoever it runs as.
	upstreamMode = 0o644
)

// Apply writes the upstreams, has nginx test them, reloads it, and returns when no
// worker that knows older ones takes anything new. A file that nginx refuses is taken
// back.
func (n *Nginx) Apply(ctx context.Context, t Table) error {
	ctx, cancel := context.WithTimeout(ctx, 3*cmp.Or(n.Timeout, nginxTimeout))
	defer cancel()
	before, err := os.ReadFile(n.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now := upstreamFile(t, before)
	if bytes.Equal(before, now) && n.reloaded(now) {
		return nil
	}
	if err := replaceFile(n.File, now, upstreamMode); err != nil {
		return err
	}
	err = n.command(ctx, n.test())
	if err != nil {
		return errors.Join(err, n.takeBack(before))
	}
	workers, err := n.workers()
	if err != nil {
		return errors.Join(err, n.takeBack(before))
	}
	if err := n.command(ctx, cmp.Or(strings.Join(n.Reload, "\x00"), "nginx\x00-s\x00reload")); err != nil {
		return errors.Join(err, n.takeBack(before))
	}
	if err := n.await(ctx, func(w []worker) bool { return renewedWorkers(w, workers) }); err != nil {
		return err
	}
	return replaceFile(n.mark(), digest(now), upstreamMode)
}

// mark is a file with the digest of the upstreams that nginx was last seen to have
// loaded. Without it, an agent that was killed between the write and the reload would
// find everything as it is to be.
func (n *Nginx) mark() string { return n.File + ".loaded" }

func (n *Nginx) reloaded(content []byte) bool {
	seen, err := os.ReadFile(n.mark())
	return err == nil && bytes.Equal(seen, digest(content))
}

func digest(content []byte) []byte { return fmt.Appendf(nil, "%x\n", sha256.Sum256(content)) }

// takeBack puts the file back as it was, which may be not at all.
func (n *Nginx) takeBack(before []byte) error {
	err := replaceFile(n.File, before, upstreamMode)
	if before == nil {
		err = os.Remove(n.File)
	}
	if err != nil {
		return fmt.Errorf("take back what it refused: %w", err)
	}
	return nil
}

// Look tells from the file, and from the workers. What is in flight is 0 for whoever is out of the upstreams once every worker that knew them
// has ended, and before that the number of those workers. Of a replica that serves, it
// knows nothing and says 1.
func (n *Nginx) Look(_ context.Context, t Table) (Standing, error) {
	workers, err := n.workers()
	if err != nil {
		return Standing{}, err
	}
	has, err := os.ReadFile(n.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Standing{}, err
	}
	leaving := int64(0)
	for _, w := range workers {
		if w.leaving {
			leaving++
		}
	}
	out := map[string]int64{}
	for _, g := range t.groups(nginxHeaviest) {
		for _, b := range g.ends {
			if _, serves := g.shares[b.Container]; serves {
				out[b.Container] = 1
			} else if out[b.Container] == 0 {
				out[b.Container] = leaving
			}
		}
	}
	return Standing{Holds: bytes.Equal(has, upstreamFile(t, has)) && n.reloaded(has), InFlight: out}, nil
}

// Check finds out, changing nothing, whether davit may write the file, see the workers,
// and have nginx test its configuration.
func (n *Nginx) Check(ctx context.Context) error {
	if _, err := n.workers(); err != nil {
		return err
	}
	if err := unix.Access(filepath.Dir(n.File), unix.W_OK); err != nil {
		return fmt.Errorf("write %s: %w", n.File, err)
	}
	return n.command(ctx, n.test())
}

func (n *Nginx) test() string { return cmp.Or(strings.Join(n.Test, "\x00"), "nginx\x00-t\x00-q") }

// upstreamLine is the head of an upstream in a file of davit's.
var upstreamLine = regexp.MustCompile(`(?m)^upstream (davit\.\S+) \{$`)

// upstreamFile is the file for t in the place of the one before. An unchanged table makes
// an unchanged file. Upstreams that t does not have any more stay, without servers: nginx
// would not take any file while its own configuration passes something to one of them.
func upstreamFile(t Table, before []byte) []byte {
	groups := t.groups(nginxHeaviest)
	for _, found := range upstreamLine.FindAllSubmatch(before, -1) {
		name := string(found[1])
		if !slices.ContainsFunc(groups, func(g group) bool { return g.name == name }) {
			groups = append(groups, group{name: name})
		}
	}
	slices.SortFunc(groups, func(a, b group) int { return cmp.Compare(a.name, b.name) })
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written by davit, and again at every change. Instance %s.\n", t.Instance)
	for _, g := range groups {
		g.write(&b)
	}
	return b.Bytes()
}

func (g group) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "\nupstream %s {\n", g.name)
	if g.affinity == AffinitySource {
		b.WriteString("    hash $remote_addr consistent;\n")
	} else {
		b.WriteString("    least_conn;\n")
	}
	for _, e := range g.ends {
		if weight, ok := g.shares[e.Container]; ok {
			fmt.Fprintf(b, "    server %s weight=%d; # %s of release %d\n", e.Address, weight, e.Replica, e.Release)
		}
	}
	if len(g.shares) == 0 {
		b.WriteString("    server 127.0.0.1:1 down; # an upstream without servers is refused\n")
	}
	b.WriteString("    keepalive 32;\n}\n")
}

func (n *Nginx) command(ctx context.Context, joined string) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(n.Timeout, nginxTimeout))
	defer cancel()
	words := strings.Split(joined, "\x00")
	output, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, bytes.TrimSpace(output))
	}
	return nil
}

// worker is a process that serves.
type worker struct {
	pid int
	// leaving is true while it only ends what it has begun.
	leaving bool
}

// workers are the children of the master process, after its own titles for them.
func (n *Nginx) workers() ([]worker, error) {
	text, err := os.ReadFile(cmp.Or(n.PID, nginxPID))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBalancerAway, err)
	}
	master, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmp.Or(n.PID, nginxPID), err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBalancerAway, err)
	}
	var out []worker
	for _, field := range strings.Fields(string(children)) {
		pid, _ := strconv.Atoi(field)
		title, err := os.ReadFile(filepath.Join("/proc", field, "cmdline"))
		if err != nil || !bytes.HasPrefix(title, []byte("nginx: worker process")) {
			continue // it has ended, or is the cache manager
		}
		out = append(out, worker{pid: pid, leaving: bytes.Contains(title, []byte("is shutting down"))})
	}
	return out, nil
}

// renewedWorkers reports whether all of those before have begun to end, or have, and
// another has come.
func renewedWorkers(now, before []worker) bool {
	fresh := false
	for _, w := range now {
		known := slices.ContainsFunc(before, func(b worker) bool { return b.pid == w.pid })
		if known && !w.leaving {
			return false
		}
		fresh = fresh || !known && !w.leaving
	}
	return fresh
}

func (n *Nginx) await(ctx context.Context, good func([]worker) bool) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(n.Timeout, nginxTimeout))
	defer cancel()
	for {
		workers, err := n.workers()
		if err != nil {
			return err
		}
		if good(workers) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for its new workers: %w", ctx.Err())
		case <-time.After(workerEvery):
		}
	}
}
