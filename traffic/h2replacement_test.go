package traffic

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// h2served is a replica of everything that the load below asks for.
func h2served(t *testing.T) *stand {
	return answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/echo" {
			grpc(w, r)
		} else {
			described(w, r)
		}
	})
}

// h2load is one client that asks on one connection for as long as it may.
type h2load struct {
	at    string
	body  string
	asked *atomic.Int64
}

// post sends a body and expects that it has arrived whole.
func (l h2load) post(client *http.Client) error {
	res, err := client.Post("http://"+l.at+"/up", "text/plain", strings.NewReader(l.body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if got, want := res.Header.Get("Request-Body"), fmt.Sprintf("%d <nil>", len(l.body)); got != want || res.StatusCode != 200 {
		return fmt.Errorf("%s, of %s arrived %q, %v", res.Status, want, got, res.Header)
	}
	l.asked.Add(1)
	return nil
}

// call sends a few lines and expects them back, one by one.
func (l h2load) call(client *http.Client) error {
	down, up := io.Pipe()
	defer up.Close()
	req, err := http.NewRequest("POST", "http://"+l.at+"/echo", down)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/grpc")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for i := range 3 {
		line := fmt.Sprintf("line %d\n", i)
		if _, err := io.WriteString(up, line); err != nil {
			return err
		}
		got := make([]byte, len(line))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != line {
			return fmt.Errorf("%q came back as %q: %w", line, got, err)
		}
	}
	up.Close()
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 || res.Trailer.Get("Grpc-Status") != "0" {
		return fmt.Errorf("it ended with %q, %v, %v", rest, err, res.Trailer)
	}
	l.asked.Add(1)
	return nil
}

func TestReplicasAreReplacedUnderHTTP2WithoutALostRequest(t *testing.T) {
	e, _ := runEdge(t, Options{})
	d := &deployment{t: t, edge: e, port: Port{Address: vacant(t), Stack: "shop", Service: "web"}} // protocol auto
	d.replace(h2served(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var posts, calls atomic.Int64
	var clients sync.WaitGroup
	b := &bed{t: t}
	for range 2 {
		client := b.h2client() // one connection for both of these
		load := h2load{at: d.port.Address.String(), body: strings.Repeat("0123456789", 10_000)}
		for asked, ask := range map[*atomic.Int64]func(h2load, *http.Client) error{&posts: h2load.post, &calls: h2load.call} {
			load := load
			load.asked = asked
			for range 2 {
				clients.Go(func() {
					for ctx.Err() == nil {
						if err := ask(load, client); err != nil {
							t.Errorf("after %d and %d: %v", posts.Load(), calls.Load(), err)
							return
						}
					}
				})
			}
		}
	}
	for range 50 {
		before, called := posts.Load(), calls.Load()
		d.replace(h2served(t))
		eventually(t, "clients are answered", func() bool {
			return t.Failed() || posts.Load() > before+4 && calls.Load() > called+4
		})
	}
	cancel()
	clients.Wait()
}

func TestASuccessorTakesHTTP2OverWithoutALostRequest(t *testing.T) {
	dir := t.TempDir()
	old, _ := runEdge(t, Options{Dir: dir})
	web := Port{Address: vacant(t), Stack: "shop", Service: "web"}
	one := backend(1)
	one.Address = h2served(t).address
	web.Backends = []Backend{one}
	apply(t, old, tableOf(1, web))
	b := &bed{t: t, address: web.Address.String()}
	held := b.stream(b.h2client(), "/echo")
	held.echoes("before")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var posts atomic.Int64
	var clients sync.WaitGroup
	load := h2load{at: b.address, body: "a body that can be sent again", asked: &posts}
	for range 3 {
		client := b.h2client()
		for range 2 {
			clients.Go(func() {
				for ctx.Err() == nil {
					if err := load.post(client); err != nil {
						t.Errorf("after %d: %v", posts.Load(), err)
						return
					}
				}
			})
		}
	}
	more := func(what string) {
		before := posts.Load()
		eventually(t, what, func() bool { return t.Failed() || posts.Load() > before+100 })
	}
	more("the elder answers")
	sockets, err := old.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	e, _ := runEdge(t, Options{Dir: dir, Sockets: sockets})
	apply(t, e, tableOf(2, web))
	old.Retire()
	more("the successor answers")
	eventually(t, "the elder has only what was held", func() bool { return t.Failed() || old.State().Ports[0].Open == 1 })
	held.echoes("after")
	held.up.Close()
	held.ends("", "0")
	cancel()
	clients.Wait()
}
