package testbed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// imaginary is an engine that writes down what it heard.
type imaginary struct {
	*httptest.Server
	mu    sync.Mutex
	heard []string
}

func imagine(t *testing.T) *imaginary {
	i := &imaginary{}
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

func (i *imaginary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	i.mu.Lock()
	i.heard = append(i.heard, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(body)))
	i.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/events"):
		w.WriteHeader(http.StatusOK)
		fmt.Fprintln(w, "first")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case strings.HasSuffix(r.URL.Path, "/attach"):
		connection, buffer, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer connection.Close()
		fmt.Fprint(connection, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		line, _ := buffer.ReadString('\n')
		fmt.Fprint(connection, "echo "+line)
	case strings.HasSuffix(r.URL.Path, "/exec"):
		fmt.Fprintf(w, `{"Id":"run%d"}`, len(i.said()))
	default:
		fmt.Fprint(w, `{}`)
	}
}

func (i *imaginary) said() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.heard)
}

// between puts a proxy in front of an imaginary engine and connects to it.
func between(t *testing.T) (*imaginary, *EngineProxy, *Engine) {
	i := imagine(t)
	p := newEngineProxy(t, "tcp://"+i.Listener.Addr().String(), filepath.Join(t.TempDir(), "p"))
	e, err := NewEngine(p.Host)
	if err != nil {
		t.Fatal(err)
	}
	return i, p, e
}

func TestProxyRecordsWhatPasses(t *testing.T) {
	engine, proxy, client := between(t)
	ctx := t.Context()
	if err := client.get(ctx, "/v1.41/containers/json", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := client.send(ctx, "/v1.41/containers/create", nil, map[string]string{"Image": "a"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := client.send(ctx, "/containers/x/wait", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := len(proxy.Calls()); got != 3 {
		t.Errorf("calls = %d, want 3", got)
	}
	mutations := proxy.Mutations()
	if len(mutations) != 1 || mutations[0].String() != "POST /containers/create 200" || string(mutations[0].Body) != `{"Image":"a"}` {
		t.Errorf("mutations = %v, want the create with its body", mutations)
	}
	if got := engine.said(); got[1] != `POST /v1.41/containers/create {"Image":"a"}` {
		t.Errorf("engine heard %q", got)
	}
	proxy.Forget()
	if got := proxy.Calls(); len(got) != 0 {
		t.Errorf("calls after Forget = %v", got)
	}
}

func TestProxyTellsHealthChecksFromOtherCommands(t *testing.T) {
	_, proxy, client := between(t)
	for _, command := range [][]string{{"/app", "healthcheck"}, {"/app", "migrate"}} {
		var made struct{ ID string }
		if err := client.send(t.Context(), "/v1.41/containers/x/exec", nil, map[string]any{"Cmd": command}, &made); err != nil {
			t.Fatal(err)
		}
		if err := client.send(t.Context(), "/v1.41/exec/"+made.ID+"/start", nil, map[string]any{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, call := range proxy.Mutations() {
		got = append(got, call.String())
	}
	if want := []string{"POST /containers/x/exec 200", "POST /exec/run3/start 200"}; !slices.Equal(got, want) {
		t.Errorf("mutations = %v, want the other command's %v", got, want)
	}
}

func TestProxyStrikesAtTheChosenRequest(t *testing.T) {
	for moment, heard := range map[Moment][]string{
		Before: {"POST /a", "GET /info", "POST /c"},
		After:  {"POST /a", "GET /info", "POST /b", "POST /c"},
	} {
		t.Run(moment.String(), func(t *testing.T) {
			engine, proxy, client := between(t)
			ctx, struck := t.Context(), 0
			proxy.Arm(2, moment, func() { struck++ })
			if err := client.send(ctx, "/a", nil, nil, nil); err != nil {
				t.Fatal(err)
			}
			if err := client.get(ctx, "/info", nil, nil); err != nil {
				t.Fatal(err)
			}
			if err := client.send(ctx, "/b", nil, nil, nil); err == nil {
				t.Error("the second mutation was answered")
			}
			if err := client.send(ctx, "/c", nil, nil, nil); err != nil {
				t.Errorf("the trap struck twice: %v", err)
			}
			if struck != 1 {
				t.Errorf("struck %d times, want once", struck)
			}
			if got := engine.said(); !slices.Equal(got, heard) {
				t.Errorf("engine heard %q, want %q", got, heard)
			}
			if call, ok := proxy.Disarm(); !ok || call.Path != "/b" {
				t.Errorf("struck call = %v, %v", call, ok)
			}
			if _, ok := proxy.Disarm(); ok {
				t.Error("a trap that was taken away is still there")
			}
		})
	}
}

// A client that is killed closes its connection. What the engine was told to do
// must be done to the end all the same.
func TestProxyCarriesOutWhatADeadClientAsked(t *testing.T) {
	engine, proxy, client := between(t)
	ctx, cancel := context.WithCancel(t.Context())
	proxy.Arm(1, After, cancel)
	if err := client.send(ctx, "/a", nil, nil, nil); err == nil {
		t.Error("the client was answered")
	}
	if got := engine.said(); len(got) != 1 {
		t.Errorf("engine heard %q", got)
	}
}

func TestProxyRefusesOnRequest(t *testing.T) {
	engine, proxy, client := between(t)
	proxy.Fail(func(c Call) error {
		if strings.HasSuffix(c.Path, "/start") {
			return errors.New("no space left on device")
		}
		return nil
	})
	err := client.send(t.Context(), "/containers/x/start", nil, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("error = %v", err)
	}
	if err := client.send(t.Context(), "/containers/x/stop", nil, nil, nil); err != nil {
		t.Errorf("another call was refused: %v", err)
	}
	if got := engine.said(); !slices.Equal(got, []string{"POST /containers/x/stop"}) {
		t.Errorf("engine heard %q", got)
	}
}

func TestProxyStreamsAndComesBack(t *testing.T) {
	_, proxy, client := between(t)
	stream, err := client.open(t.Context(), http.MethodGet, "/events", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	lines := bufio.NewReader(stream)
	if line, err := lines.ReadString('\n'); err != nil || line != "first\n" {
		t.Fatalf("first line = %q, %v", line, err)
	}
	proxy.Stop()
	if _, err := lines.ReadString('\n'); err == nil {
		t.Error("the stream outlived the proxy")
	}
	if err := client.Ping(t.Context()); err == nil {
		t.Error("a stopped proxy answered")
	}
	proxy.Start()
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("a proxy that was started again does not answer: %v", err)
	}
}

func TestProxyHandsConnectionsOver(t *testing.T) {
	_, proxy, _ := between(t)
	connection, err := net.Dial("unix", strings.TrimPrefix(proxy.Host, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(connection, "POST /containers/x/attach HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answer = %v, %v", response, err)
	}
	fmt.Fprintln(connection, "hello")
	if line, err := reader.ReadString('\n'); err != nil || line != "echo hello\n" {
		t.Errorf("over the handed-over connection: %q, %v", line, err)
	}
}

func TestCallsThatMutate(t *testing.T) {
	for line, want := range map[string]bool{
		"GET /v1.41/containers/json":      false,
		"HEAD /_ping":                     false,
		"POST /v1.41/containers/create":   true,
		"POST /v1.41/containers/x/start":  true,
		"POST /v1.41/containers/x/rename": true,
		"POST /v1.41/containers/x/wait":   false,
		"POST /v1.41/containers/x/attach": false,
		"POST /v1.41/networks/n/connect":  true,
		"POST /v1.41/images/create":       true,
		"POST /v1.41/auth":                false,
		"DELETE /v1.41/containers/x":      true,
		"PUT /v1.41/containers/x/archive": true,
		"POST /v1.41/containers/x/exec":   true,
		"POST /v1.41/exec/x/resize":       false,
		"POST /volumes/create":            true,
	} {
		method, path, _ := strings.Cut(line, " ")
		if got := callOf(httptest.NewRequest(method, path, nil)).Mutates(); got != want {
			t.Errorf("%s mutates = %v, want %v", line, got, want)
		}
	}
}
