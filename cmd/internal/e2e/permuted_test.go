package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
	"davit/traffic"
)

// terminal is a host of its own with services whose ports an edge has, all of the same
// port inside, so that whoever is given another's requests answers them.
type terminal struct {
	*island
	edge   *supervised
	ports  map[string]int
	images map[string]testbed.Image
}

// newTerminal deploys so many services with two replicas each.
func newTerminal(t *testing.T, name string, services int, engineArgs ...string) *terminal {
	t.Helper()
	q := &terminal{island: newIsland(t, name, engineArgs...), ports: map[string]int{}, images: map[string]testbed.Image{}}
	q.agent.Args = append(q.agent.Args, "--edge", "on")
	davit := testbed.Davit(t)
	q.edge = supervise(t, q.agent.Data, func() *exec.Cmd {
		return q.engine.Inside(davit, "edge", "--data", q.agent.Data, "--engine", q.engine.Host)
	})
	for n := range services {
		service := fmt.Sprint("s", n)
		q.ports[service] = q.bed.UnusedPort()
		q.images[service] = q.bed.Load(service+":1", testbed.App{Version: service, Env: map[string]string{"STOP": "exit"}})
	}
	commit := q.renew(0)
	q.agent.Start()
	q.deployed(commit)
	return q
}

// renew pushes another content of every service.
func (q *terminal) renew(edit int) string {
	q.t.Helper()
	var parts []part
	for _, service := range slices.Sorted(maps.Keys(q.ports)) {
		parts = append(parts, part{service, q.images[service], []string{"restart: unless-stopped", "deploy: {replicas: 2}", fmt.Sprintf(`environment: {EDIT: "%d"}`, edit),
			fmt.Sprintf(`ports: ["%d:8080"]`, q.ports[service]), "x-davit: {monitor: 0s, standby: {for: 0s}}"}})
	}
	return q.push(parts...)
}

// owners are the services that have addresses, by address.
func (q *terminal) owners() map[string]string {
	q.t.Helper()
	out := map[string]string{}
	for _, c := range q.stack.Running() {
		out[c.Addresses[q.stack.Network()]] = c.Service
	}
	return out
}

// moved are the addresses that belong to another service than before.
func moved(before, after map[string]string) []string {
	var out []string
	for address, service := range after {
		if before[address] != "" && before[address] != service {
			out = append(out, fmt.Sprintf("%s from %s to %s", address, before[address], service))
		}
	}
	return slices.Sorted(slices.Values(out))
}

// visitors ask every port of a terminal, over kept connections and over new ones.
type visitors struct {
	q     *terminal
	calls sync.WaitGroup
	over  context.CancelFunc
	// good counts the answers of whoever was asked for, by service; refused those
	// without a replica.
	good    map[string]*atomic.Int64
	refused atomic.Int64
	// strict is true while nothing may be refused; torn while connections may break,
	// because nobody has the ports.
	strict, torn atomic.Bool
}

func (q *terminal) visit() *visitors {
	v := &visitors{q: q, good: map[string]*atomic.Int64{}}
	ctx, over := context.WithCancel(context.WithoutCancel(q.t.Context()))
	v.over = over
	for service, port := range q.ports {
		v.good[service] = new(atomic.Int64)
		for _, anew := range []bool{true, false} {
			client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: anew, DialContext: q.engine.Dial}}
			v.calls.Go(func() {
				defer client.CloseIdleConnections()
				for ctx.Err() == nil {
					v.ask(ctx, client, service, port)
					select {
					case <-ctx.Done():
					case <-time.After(10 * time.Millisecond):
					}
				}
			})
		}
	}
	q.t.Cleanup(v.end)
	return v
}

// ask makes one request. Whoever answers must be of the service; who refuses must say
// why.
func (v *visitors) ask(ctx context.Context, client *http.Client, service string, port int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
	if err != nil {
		v.q.t.Error(err)
		return
	}
	strict, torn := v.strict.Load(), v.torn.Load()
	resp, err := client.Do(req)
	if err != nil {
		if torn = torn || v.torn.Load(); torn {
			v.refused.Add(1)
		} else if ctx.Err() == nil {
			v.q.t.Errorf("%s was not answered: %v", service, err)
		}
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	reason := resp.Header.Get("X-Davit-Reason")
	if resp.StatusCode == http.StatusOK && err != nil && (torn || v.torn.Load()) {
		v.refused.Add(1)
		return
	}
	if resp.StatusCode == http.StatusOK && err != nil {
		reason = "its container ended before its answer did"
	}
	switch said := strings.TrimSpace(string(text)); {
	case ctx.Err() != nil:
	case resp.StatusCode == http.StatusOK && err == nil && said == service:
		v.good[service].Add(1)
	case resp.StatusCode == http.StatusOK && err == nil:
		v.q.t.Errorf("%s was asked, and %s has answered", service, said)
	case reason == "":
		v.q.t.Errorf("%s was refused without a reason: %s: %s", service, resp.Status, said)
	case strict && v.strict.Load():
		v.q.t.Errorf("%s was refused while its containers ran: %s, %s", service, resp.Status, reason)
	default:
		v.refused.Add(1)
	}
}

// more waits until every service has answered some more.
func (v *visitors) more(answers int64) {
	v.q.t.Helper()
	from := map[string]int64{}
	for service, n := range v.good {
		from[service] = n.Load()
	}
	await(v.q.t, "all services to answer", func() (bool, string) {
		late := slices.DeleteFunc(slices.Sorted(maps.Keys(v.good)), func(s string) bool { return v.good[s].Load() >= from[s]+answers })
		return len(late) == 0, fmt.Sprint(late, " do not answer")
	})
}

func (v *visitors) end() {
	v.over()
	v.calls.Wait()
}

// TestNoRequestReachesAWrongContainer: engines deal out addresses anew when they start
// again. Whatever becomes of engine, agent and containers, whoever is asked answers, or
// nobody.
func TestNoRequestReachesAWrongContainer(t *testing.T) {
	t.Parallel()
	q := newTerminal(t, "permuted", 4)
	v := q.visit()
	v.more(10)
	rounds := 1
	if *soak {
		rounds = 10
	}
	permute := func(t *testing.T, rounds int, end func()) {
		for done, tries := 0, 0; done < rounds; tries++ {
			before := q.owners()
			began := time.Now()
			end()
			q.engine.Start()
			answers := time.Since(began)
			for service := range q.ports {
				q.ready(service, 2)
			}
			v.more(20)
			now := moved(before, q.owners())
			t.Logf("engine away for %s, all served after %s; refused so far: %d; moved: %v", answers.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), v.refused.Load(), now)
			switch {
			case len(now) > 0:
				done++
			case tries == 9+rounds:
				t.Fatal("no address has moved from one service to another")
			}
		}
	}
	t.Run("with the agent, when the engine was stopped", func(t *testing.T) { permute(t, rounds, q.engine.Stop) })
	t.Run("with the agent, when the engine was killed", func(t *testing.T) { permute(t, rounds, q.engine.Kill) })
	t.Run("without the agent", func(t *testing.T) {
		q.agent.Kill()
		permute(t, rounds, q.engine.Stop)
	})
}

// TestAnEngineThatIsAwayIsNotMissed: with --live-restore containers outlive their
// engine, and so does whatever is asked of them, without an agent, and of an edge that
// began while the engine was away.
func TestAnEngineThatIsAwayIsNotMissed(t *testing.T) {
	t.Parallel()
	q := newTerminal(t, "away", 2, "--live-restore")
	v := q.visit()
	v.more(10)
	q.agent.Kill()
	before := q.owners()
	v.strict.Store(true)
	q.engine.Kill()
	v.more(50)
	q.engine.Start()
	v.more(50)
	q.confirmed()
	q.engine.Stop()
	v.more(50)
	v.end()
	q.edge.restart()
	w := q.visit()
	w.strict.Store(true)
	w.more(10)
	q.engine.Start()
	w.more(50)
	q.confirmed()
	if now := q.owners(); !maps.Equal(before, now) {
		t.Errorf("before: %v, now: %v", before, now)
	}
}

// restart kills the edge and waits for another one.
func (s *supervised) restart() {
	s.t.Helper()
	old, err := asked(s.t.Context(), s.data, (*traffic.Client).Versions)
	if err != nil {
		s.t.Fatal(err)
	}
	s.signal(syscall.SIGKILL)
	s.waitFor(func(v traffic.Versions) bool { return v.PID != old.PID })
}

// confirmed waits until the edge has heard its engine, and knows all replicas.
func (q *terminal) confirmed() {
	q.t.Helper()
	await(q.t, "the edge to be certain of all replicas", func() (bool, string) {
		s, err := asked(q.t.Context(), q.agent.Data, (*traffic.Client).State)
		unsure := slices.ContainsFunc(s.Replicas, func(r traffic.ReplicaState) bool { return !r.Confirmed })
		return err == nil && s.Blind == "" && !unsure, fmt.Sprintf("%+v, %v", s.Replicas, err)
	})
}
