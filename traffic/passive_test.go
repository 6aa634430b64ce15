package traffic

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// jury is an Edge that only judges, over replicas of one service.
func jury(n int) (*Edge, *pool, []*replica) {
	releases := make([]int64, n)
	p, replicas := choiceOf(Port{Stack: "shop", Service: "web"}, releases...)
	e := &Edge{now: time.Now, log: discarded(), replicas: map[identity]*replica{}}
	for _, r := range replicas {
		e.replicas[r.identity] = r
	}
	return e, p, replicas
}

// neglect has a replica asked, and the client leave after so long without an answer.
func neglect(p *pool, r *replica, patience time.Duration) {
	for _, m := range p.members {
		if m.replica != r {
			continue
		}
		l := m.lease(leaseRequest, time.Now())
		time.Sleep(patience)
		l.end(outcome{abandoned: true}, time.Now())
	}
}

func TestAReplicaThatHangsIsPassedOver(t *testing.T) {
	answer := func(r *replica) { r.observe(outcome{status: 200}, time.Now()) }
	for name, c := range map[string]struct {
		happens func(e *Edge, p *pool, hung, other *replica)
		ejected bool
	}{
		"its clients give up while another one answers": {func(_ *Edge, p *pool, hung, other *replica) {
			for range failuresToEject {
				neglect(p, hung, 4*time.Second)
				answer(other)
			}
		}, true},
		"its clients still wait": {func(_ *Edge, p *pool, hung, other *replica) {
			for range failuresToEject {
				p.members[0].lease(leaseRequest, time.Now()).overdue()
			}
			time.Sleep(mute)
			answer(other)
		}, true},
		"its clients wait, and not for long yet": {func(_ *Edge, p *pool, hung, other *replica) {
			for range failuresToEject {
				l := p.members[0].lease(leaseRequest, time.Now())
				l.waits(time.Now().Add(longestWait - 1))
			}
			time.Sleep(mute)
			answer(other)
		}, false},
		"its clients wait for too long": {func(_ *Edge, p *pool, hung, other *replica) {
			for range failuresToEject {
				l := p.members[0].lease(leaseRequest, time.Now())
				defer l.waits(time.Now().Add(longestWait))
			}
			time.Sleep(mute)
			answer(other)
		}, true},
		"one client that is told twice is one": {func(_ *Edge, p *pool, hung, other *replica) {
			l := p.members[0].lease(leaseRequest, time.Now())
			for range 2 * failuresToEject {
				l.overdue()
			}
			time.Sleep(mute)
			l.end(outcome{abandoned: true}, time.Now())
			answer(other)
		}, false},
		"it answers others": {func(_ *Edge, p *pool, hung, other *replica) {
			for range 10 * failuresToEject {
				neglect(p, hung, 4*time.Second)
				answer(hung)
				answer(other)
			}
		}, false},
		"it answers with errors, now and then": {func(_ *Edge, p *pool, hung, other *replica) {
			for range 10 {
				neglect(p, hung, 4*time.Second)
				hung.observe(outcome{status: 500}, time.Now())
				answer(hung)
				answer(other)
			}
		}, false},
		"its clients leave at once": {func(_ *Edge, p *pool, hung, other *replica) {
			for range 100 * failuresToEject {
				neglect(p, hung, givingUp-time.Second)
				answer(other)
			}
		}, false},
		"a burst of clients leaves": {func(_ *Edge, p *pool, hung, other *replica) {
			answer(hung)
			for range 100 {
				p.members[0].lease(leaseRequest, time.Now()).overdue()
			}
			time.Sleep(mute - time.Second)
			answer(other)
		}, false},
		"nobody answers": {func(_ *Edge, p *pool, hung, other *replica) {
			for range 10 * failuresToEject {
				neglect(p, hung, 4*time.Second)
				neglect(p, other, 4*time.Second)
			}
		}, false},
		"the other one drains": {func(_ *Edge, p *pool, hung, other *replica) {
			for range failuresToEject {
				neglect(p, hung, 4*time.Second)
				answer(other)
			}
			other.shut()
		}, false},
		"it sends an answer that lasts": {func(_ *Edge, p *pool, hung, other *replica) {
			for range failuresToEject {
				neglect(p, hung, 4*time.Second)
				answer(other)
			}
			hung.speaks(time.Now())
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, p, replicas := jury(2)
				c.happens(e, p, replicas[0], replicas[1])
				e.judge()
				if got := replicas[0].ejected.Load() > time.Now().UnixNano(); got != c.ejected {
					t.Errorf("passed over: %v", got)
				}
				if replicas[1].ejected.Load() != 0 {
					t.Error("the other one is passed over")
				}
				if s := replicas[0].state(time.Now()); c.ejected && !strings.Contains(s.Reason, "got no answer") {
					t.Errorf("why: %q", s.Reason)
				}
			})
		})
	}
}

func TestAReplicaThatStillHangsAfterItsPauseIsPassedOverForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, p, replicas := jury(2)
		for _, pause := range []time.Duration{ejection, 2 * ejection, 4 * ejection} {
			for range failuresToEject {
				neglect(p, replicas[0], 4*time.Second)
				replicas[1].observe(outcome{status: 200}, time.Now())
			}
			e.judge()
			if got := time.Until(time.Unix(0, replicas[0].ejected.Load())); got != pause {
				t.Fatalf("for %s, not %s", got, pause)
			}
			time.Sleep(pause)
		}
	})
}

// TestAClientThatLeavesAfterAWhileIsHeldAgainstTheReplica, over HTTP/1 and HTTP/2: it is
// no error, and the missing answer is counted.
func TestAClientThatLeavesAfterAWhileIsHeldAgainstTheReplica(t *testing.T) {
	leaves := map[string]func(t *testing.T, b *bed){
		"HTTP/1": func(t *testing.T, b *bed) {
			conn := b.dial()
			says(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			time.Sleep(givingUp + time.Second)
			conn.Close()
		},
		"HTTP/2": func(t *testing.T, b *bed) {
			client := b.h2client()
			client.Timeout = givingUp + time.Second
			if _, _, err := b.try(client, "GET", "/", nil); err == nil {
				t.Error("it was answered")
			}
		},
		"HTTP/1, in its body": func(t *testing.T, b *bed) {
			conn := b.dial()
			says(t, conn, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nsome")
			time.Sleep(givingUp + time.Second)
			conn.Close()
		},
	}
	for name, leave := range leaves {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, httpPort, answering(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
			leave(t, b)
			b.idle()
			r, want := b.stands[0].replica, 1
			if strings.Contains(name, "body") {
				want = 0
			}
			s := r.signals.report(r.origin())
			if r.health.misses != want || s.Abandoned != int64(want) || s.Requests != int64(want) || s.Errors != 0 {
				t.Errorf("%d answers missed, and %+v", r.health.misses, s)
			}
		})
	}
}

func TestWhatAnUntrustedPeerSaysOfItselfReachesNoReplica(t *testing.T) {
	seen := make(chan string, 1)
	b := newBed(t, httpPort, answering(t, func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 10)
		n, _ := r.Body.Read(body) // its end comes with the trailers
		for range 2 {
			r.Body.Read(body)
		}
		var lies []string
		for _, fields := range []http.Header{r.Header, r.Trailer} {
			for name, values := range fields {
				if strings.Contains(fmt.Sprint(values), "203.0.113.9") {
					lies = append(lies, name)
				}
			}
		}
		seen <- fmt.Sprintf("%s %q %v", body[:n], r.Trailer["X-Sum"], lies)
	}))
	lies := []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Client-Cert", "X_Forwarded_For",
		"x-forwarded_server", "Forwarded", "X-Real-IP", "x-real-ip", "X_Real_IP", "X-FORWARDED-PREFIX"}
	t.Run("HTTP/1", func(t *testing.T) {
		conn := b.dial()
		text := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Real-IP\r\n"
		end := "4\r\nbody\r\n0\r\nX-Sum: 12\r\n"
		for _, name := range lies {
			text, end = text+name+": 203.0.113.9\r\n", end+name+": 203.0.113.9\r\n"
		}
		says(t, conn, text+"\r\n"+end+"\r\n")
		hears(t, bufio.NewReader(conn), "POST")
		if got := <-seen; got != `body ["12"] []` {
			t.Errorf("the replica saw %s", got)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+b.address+"/", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength, req.Trailer = -1, http.Header{"X-Sum": {"12"}}
		for _, name := range lies {
			req.Header.Set(name, "203.0.113.9")
			req.Trailer.Set(name, "203.0.113.9")
		}
		res, err := b.h2client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := <-seen; got != `body ["12"] []` {
			t.Errorf("the replica saw %s", got)
		}
	})
}

func TestWhoWaitsForAReplicaIsInTheState(t *testing.T) {
	e, _ := runEdge(t, Options{})
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Park: time.Hour}
	apply(t, e, tableOf(1, web))
	if s := e.State().Ports[0]; !s.Parked.IsZero() || s.Waiting != 0 {
		t.Errorf("nobody has asked: %+v", s)
	}
	conn, err := net.Dial("tcp", web.Address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("SSH-2.0-x\r\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one waits", func() bool {
		s := e.State().Ports[0]
		return s.Waiting == 1 && !s.Parked.IsZero() && time.Since(s.Parked) < time.Hour
	})
	there := echoing(t)
	b := backend(1)
	b.Address = there.address
	web.Backends = []Backend{b}
	apply(t, e, tableOf(2, web))
	eventually(t, "nobody waits", func() bool { s := e.State().Ports[0]; return s.Waiting == 0 && s.Parked.IsZero() })
}

func TestThatNobodyWasThereIsOverAlthoughNobodyAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, replicas := choiceOf(Port{Park: time.Second}, 1)
		replicas[0].confirmed.Store(false)
		if _, err := p.claim(t.Context(), want{}); err == nil {
			t.Fatal("somebody was there")
		}
		if since, waiting := p.parked(); since.IsZero() || waiting != 0 {
			t.Errorf("after a claim in vain: since %v, %d wait", since, waiting)
		}
		replicas[0].confirmed.Store(true)
		p.again()
		if since, _ := p.parked(); !since.IsZero() {
			t.Errorf("though somebody is there: since %v", since)
		}
	})
}
