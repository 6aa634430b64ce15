package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"davit/reconcile"
	"davit/traffic/socket"
)

// standIn is what an Admin steers, as far as these tests need it.
type standIn struct {
	mu      sync.Mutex
	tables  []Table
	state   State
	refusal error
	sockets Sockets
	// unable is why there are no sockets, asked how often somebody wanted them.
	unable  error
	asked   atomic.Int32
	retired bool
}

func (s *standIn) Apply(_ context.Context, t Table) (Acknowledgement, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables = append(s.tables, t)
	return Acknowledgement{Generation: t.Generation}, s.refusal
}

func (s *standIn) Table() Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tables) == 0 {
		return Table{}
	}
	return s.tables[len(s.tables)-1]
}

func (s *standIn) State() State          { return s.state }
func (s *standIn) Signals() SignalReport { return SignalReport{Bounds: bounds[:]} }

func (s *standIn) Sockets() (Sockets, error) {
	if s.asked.Add(1); s.unable != nil {
		return nil, s.unable
	}
	out := Sockets{}
	for key, f := range s.sockets {
		numbers, _, err := descriptors([]*os.File{f})
		if err != nil {
			return nil, err
		}
		out[key] = os.NewFile(uintptr(numbers[0]), key)
	}
	return out, nil
}

func (s *standIn) Retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
}

func (s *standIn) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retired
}

// office is an Admin that answers.
type office struct {
	*Admin
	stop func()
}

// newOffice has an Admin answer on the socket of dir, taking the name from whoever has
// it.
func newOffice(t *testing.T, dir string, lock *Lock, s *standIn) *office {
	t.Helper()
	a := NewAdmin(AdminOptions{Edge: s, Dir: dir, Lock: lock, Program: "v1.0.0", Logger: slog.New(slog.DiscardHandler)})
	l, err := socket.Replace(t.Context(), socketIn(dir))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Serve(ctx, l) }()
	o := &office{Admin: a, stop: sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})}
	t.Cleanup(o.stop)
	return o
}

func lockOf(t *testing.T, dir string) *Lock {
	t.Helper()
	lock, err := Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lock.Release)
	return lock
}

func clientOf(t *testing.T, dir string) *Client {
	t.Helper()
	c := NewClient(socketIn(dir))
	t.Cleanup(c.Close)
	return c
}

var anyTable = Table{Instance: "host", Generation: 3, Ports: []Port{{Address: netip.MustParseAddrPort("127.0.0.1:80"), Stack: "shop", Service: "web"}}}

func TestATableIsAcknowledgedOverTheSocket(t *testing.T) {
	dir, s := t.TempDir(), &standIn{}
	newOffice(t, dir, lockOf(t, dir), s)
	c := clientOf(t, dir)
	ack, err := c.Apply(t.Context(), anyTable)
	if err != nil || ack.Generation != 3 {
		t.Errorf("%+v, %v", ack, err)
	}
	back, err := c.Table(t.Context())
	if err != nil || !back.same(anyTable) {
		t.Errorf("%+v, %v", back, err)
	}
	if report, err := c.Signals(t.Context()); err != nil || len(report.Bounds) != len(bounds) {
		t.Errorf("%+v, %v", report, err)
	}
	s.refusal = fmt.Errorf("table 3: %w, 4", ErrStale)
	var refused *Refusal
	if _, err := c.Apply(t.Context(), anyTable); !errors.As(err, &refused) || refused.Status != http.StatusConflict {
		t.Errorf("a stale table: %v", err)
	}
}

// TestAnEdgeRefusesWhatItDoesNotKnow: a newer agent may say of a port what this edge
// cannot do; to leave it out would be to do something else.
func TestAnEdgeRefusesWhatItDoesNotKnow(t *testing.T) {
	dir, s := t.TempDir(), &standIn{}
	newOffice(t, dir, lockOf(t, dir), s)
	text, err := json.Marshal(anyTable)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"a field of a port":    strings.Replace(string(text), `"stack":"shop"`, `"stack":"shop","quic":true`, 1),
		"a protocol":           strings.Replace(string(text), `"protocol":"auto"`, `"protocol":"quic"`, 1),
		"a table that is none": "[]",
	} {
		t.Run(name, func(t *testing.T) {
			var ack Acknowledgement
			err := clientOf(t, dir).exchange(t.Context(), http.MethodPut, "/v1/table", json.RawMessage(body), &ack)
			var refused *Refusal
			if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || !strings.Contains(reconcile.Hint(err), "--takeover") {
				t.Errorf("%v (%s)", err, reconcile.Hint(err))
			}
		})
	}
	if len(s.tables) > 0 {
		t.Errorf("it serves %v", s.tables)
	}
}

func TestAgentAndEdgeFindTheNewestVersionThatBothSpeak(t *testing.T) {
	span := func(oldest, newest int) Versions { return Versions{Oldest: oldest, Newest: newest} }
	for name, c := range map[string]struct {
		agent, edge Versions
		want        int
		hint        string
	}{
		"the same":                   {span(1, 1), span(1, 1), 1, ""},
		"a newer agent":              {span(1, 2), span(1, 1), 1, ""},
		"a newer edge":               {span(1, 1), span(1, 2), 1, ""},
		"both newer":                 {span(2, 3), span(1, 3), 3, ""},
		"an agent that is too new":   {span(2, 3), span(1, 1), 0, "davit edge --takeover"},
		"an edge that is far newer":  {span(1, 1), span(2, 3), 0, "upgrade this program"},
		"one upgraded over the last": {span(2, 3), span(3, 4), 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.agent.common(c.edge)
			if got != c.want || (err != nil) != (c.hint != "") || !strings.Contains(reconcile.Hint(err), c.hint) {
				t.Errorf("%d, %v (%s)", got, err, reconcile.Hint(err))
			}
		})
	}
}

func TestAnAnswerOfANewerEdgeMayHaveMoreInIt(t *testing.T) {
	dir := t.TempDir()
	l, err := socket.Listen(t.Context(), socketIn(dir))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers := map[string]string{
			"/versions": `{"name":"davit edge","program":"v9.0.0","pid":1,"oldest":1,"newest":7,"motto":"more"}`,
			"/v1/state": `{"instance":"host","generation":12,"weather":"fair","replicas":[{"container":"c","streams":2,"mood":"good"}]}`,
		}
		fmt.Fprint(w, answers[r.URL.Path])
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-ended })
	got, err := clientOf(t, dir).State(t.Context())
	if err != nil || got.Generation != 12 || got.Replicas[0].Streams != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestWithoutAnEdgeTheClientSaysSo(t *testing.T) {
	_, err := clientOf(t, t.TempDir()).State(t.Context())
	if !errors.Is(err, ErrNoEdge) || reconcile.Hint(err) == "" {
		t.Error(err)
	}
}

// TestAnEdgeThatEndsWhileItIsAskedIsNone: it was killed, and comes back.
func TestAnEdgeThatEndsWhileItIsAskedIsNone(t *testing.T) {
	dir := t.TempDir()
	l, err := socket.Listen(t.Context(), socketIn(dir))
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 16)) // in the midst of the request
		l.Listener.Close()
		conn.Close()
	})
	defer accepting.Wait()
	defer l.Close()
	if _, err := clientOf(t, dir).Apply(t.Context(), anyTable); !errors.Is(err, ErrNoEdge) {
		t.Error(err)
	}
}

// TestOneThatWaitsOutlivesAnEdgeThatEndsWhileItIsAsked: it answers still, and has given its
// ports up already.
func TestOneThatWaitsOutlivesAnEdgeThatEndsWhileItIsAsked(t *testing.T) {
	dir, s := t.TempDir(), &standIn{unable: errRetired}
	before := newOffice(t, dir, lockOf(t, dir), s)
	entered := make(chan error, 1)
	go func() {
		i, err := Enter(t.Context(), dir, Waiting)
		if err == nil {
			i.Abandon()
		}
		entered <- err
	}()
	before.endOnce.Do(func() { close(before.ending) })
	for s.asked.Load() < 2 {
		select {
		case err := <-entered:
			t.Fatalf("it did not wait for the end: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	before.stop()
	before.Lock.Release()
	if err := <-entered; err != nil {
		t.Error(err)
	}
}

// openPorts are sockets that listen, and their keys.
func openPorts(t *testing.T, n int) Sockets {
	t.Helper()
	out := Sockets{}
	for range n {
		f, err := listen(t).(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		out["tcp "+fmt.Sprint(len(out))] = f
	}
	return out
}

func TestASuccessorGetsEveryPortAndTheLock(t *testing.T) {
	dir, s := t.TempDir(), &standIn{sockets: openPorts(t, 2*filesAtOnce+7)}
	before := newOffice(t, dir, lockOf(t, dir), s)
	i, err := TakeOver(t.Context(), dir, AtOnce)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Abandon)
	if len(i.Sockets) != len(s.sockets) {
		t.Errorf("%d of %d ports came", len(i.Sockets), len(s.sockets))
	}
	for key, f := range i.Sockets {
		theirs, mine := address(t, s.sockets[key]), address(t, f)
		if theirs != mine {
			t.Fatalf("%s is at %s, not at %s", key, mine, theirs)
		}
	}
	if s.over() {
		t.Error("it retired before its successor served")
	}
	if err := i.Serving(); err != nil {
		t.Fatal(err)
	}
	if !s.over() {
		t.Error("it has not retired")
	}
	before.stop()
	if _, err := os.Lstat(socketIn(dir)); err != nil {
		t.Errorf("the name that its successor takes now was removed: %v", err)
	}
	if _, err := Acquire(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("the lock was let go of: %v", err)
	}
}

func address(t *testing.T, f *os.File) string {
	t.Helper()
	l, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestASuccessorThatDiesLeavesTheEdgeServing, at whatever point of the succession.
func TestASuccessorThatDiesLeavesTheEdgeServing(t *testing.T) {
	dir, s := t.TempDir(), &standIn{sockets: openPorts(t, filesAtOnce+1)}
	newOffice(t, dir, lockOf(t, dir), s)
	for name, die := range map[string]func(*Inheritance) error{
		"before the first port": func(*Inheritance) error { return nil },
		"between the ports": func(i *Inheritance) error {
			if err := i.baton.say(word{Ready: true}); err != nil {
				return err
			}
			_, files, err := i.baton.hear(batonPatience)
			closeAll(files)
			return err
		},
		"before it serves": func(i *Inheritance) error { return i.receive() },
		"talking nonsense": func(i *Inheritance) error {
			_, err := i.baton.conn.Write([]byte("who are you?\n"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := socket.Dial(t.Context(), socketIn(dir))
			if err != nil {
				t.Fatal(err)
			}
			i := &Inheritance{Sockets: Sockets{}, baton: baton{conn}}
			if err := ask(conn, 1, AtOnce); err != nil {
				t.Fatal(err)
			}
			if err := die(i); err != nil {
				t.Fatal(err)
			}
			i.Abandon()
			// It has the turn again, and takes tables.
			if _, err := clientOf(t, dir).Apply(t.Context(), anyTable); err != nil || s.over() {
				t.Errorf("%v; retired: %v", err, s.over())
			}
		})
	}
}

// TestAnEdgeThatHandedOverIsSteeredByItsSuccessor: what the elder has in flight is in
// flight, and a drain holds there too.
func TestAnEdgeThatHandedOverIsSteeredByItsSuccessor(t *testing.T) {
	dir := t.TempDir()
	started := time.Unix(7, 0).UTC()
	old := &standIn{sockets: openPorts(t, 1), state: State{
		Replicas: []ReplicaState{{Container: "a", Started: started, Requests: 2, Streams: 1}, {Container: "gone", Started: started, Streams: 1}, {Container: "idle", Started: started}},
		Ports:    []PortState{{Key: "tcp 127.0.0.1:80", Open: 5}},
	}}
	elder := newOffice(t, dir, lockOf(t, dir), old)
	asking := clientOf(t, dir)
	if _, err := asking.State(t.Context()); err != nil {
		t.Fatal(err) // the connection is kept, to the elder
	}
	i, err := Enter(t.Context(), dir, TakingOver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Abandon)
	heir := &standIn{state: State{Generation: 3, Ports: []PortState{{Key: "tcp 127.0.0.1:80", Open: 2}},
		Replicas: []ReplicaState{{Container: "a", Started: started, Requests: 10, Confirmed: true}}}}
	if err := i.Serving(); err != nil {
		t.Fatal(err)
	}
	newOffice(t, dir, i.Lock, heir)

	got, err := asking.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := got.Replicas[0]
	if got.Elders != 1 || got.Generation != 3 || a.Requests != 12 || a.Streams != 1 || !a.Confirmed || got.Ports[0].Open != 7 {
		t.Errorf("%+v", got)
	}
	if len(got.Replicas) != 2 || got.Replicas[1].Container != "gone" || !got.Replicas[1].Draining {
		t.Errorf("what only the elder has: %+v", got.Replicas)
	}
	if _, err := asking.Apply(t.Context(), anyTable); err != nil {
		t.Fatal(err)
	}
	if len(heir.tables) != 1 || len(old.tables) != 1 {
		t.Errorf("the successor has %d tables, the elder %d", len(heir.tables), len(old.tables))
	}
	old.refusal = errors.New("no")
	if _, err := asking.Apply(t.Context(), anyTable); err == nil {
		t.Error("acknowledged, though the elder goes on as before")
	}
	elder.stop()
	got, err = asking.State(t.Context())
	if err != nil || got.Elders != 0 || len(got.Replicas) != 1 || got.Replicas[0].Requests != 10 {
		t.Errorf("after the elder's end: %+v, %v", got, err)
	}
}

func TestAnElderThatWasKilledIsForgotten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "elder-dead.sock")
	l, err := socket.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Listener.Close(); err != nil { // the name stays, as after a kill
		t.Fatal(err)
	}
	newOffice(t, dir, lockOf(t, dir), &standIn{})
	if s, err := clientOf(t, dir).State(t.Context()); err != nil || s.Elders != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its name is still there: %v", err)
	}
}

func FuzzABatonIsReadWithoutHarm(f *testing.F) {
	f.Add([]byte(`{"keys":["tcp 0.0.0.0:80"]}` + "\n"))
	f.Add([]byte(`{"lock":true,"last":true}` + "\n"))
	f.Add([]byte("\n"))
	f.Add([]byte(`{"serving":true`))
	f.Fuzz(func(t *testing.T, said []byte) {
		dir := t.TempDir()
		l, err := socket.Listen(t.Context(), socketIn(dir))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		conn, err := socket.Dial(t.Context(), socketIn(dir))
		if err != nil {
			t.Fatal(err)
		}
		other, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Write(said); err != nil {
			t.Fatal(err)
		}
		other.Close()
		i := &Inheritance{Sockets: Sockets{}, baton: baton{conn}}
		defer i.Abandon()
		w, files, err := i.baton.hear(batonPatience)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(said, []byte("\n")) {
			t.Errorf("%q was heard to its end", said)
		}
		if i.take(w, files) == nil && (len(w.Keys) > 0 || w.Lock) {
			t.Errorf("took what did not come: %+v", w)
		}
	})
}
