package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// told is the body of a delivery, as docs/webhook.md has it.
type told struct {
	ID, Event, Stack, Version, Commit, Severity, Message, Instance string
	Seq                                                            int64
}

// receiver is where webhooks go. It believes only what is signed.
type receiver struct {
	t      *testing.T
	addr   string
	secret string

	mu     sync.Mutex
	server *httptest.Server
	silent chan struct{} // non-nil while requests are left unanswered
	asked  int
	heard  []told
}

func newReceiver(t *testing.T, secret string) *receiver {
	t.Helper()
	r := &receiver{t: t, addr: "127.0.0.1:0", secret: secret}
	r.open()
	t.Cleanup(r.close)
	return r
}

// open listens, after close on the same port.
func (r *receiver) open() {
	r.t.Helper()
	listener, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.addr = listener.Addr().String()
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: r}}
	server.Start()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.server = server
}

func (r *receiver) close() {
	r.answer()
	r.mu.Lock()
	server := r.server
	r.server = nil
	r.mu.Unlock()
	if server != nil {
		server.CloseClientConnections()
		server.Close()
	}
}

// hang leaves every request from now on without an answer, until answer.
func (r *receiver) hang() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = make(chan struct{})
}

func (r *receiver) answer() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silent != nil {
		close(r.silent)
		r.silent = nil
	}
}

// ServeHTTP checks the signature as a stranger would, from the document alone.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	r.mu.Lock()
	r.asked++
	silent := r.silent
	r.mu.Unlock()
	if silent != nil {
		select {
		case <-silent: // heard now, as the sender will believe
		case <-q.Context().Done():
			return
		}
	}
	mac := hmac.New(sha256.New, []byte(r.secret))
	fmt.Fprintf(mac, "%s.%s", q.Header.Get("X-Davit-Timestamp"), body)
	var m told
	switch want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); {
	case err != nil:
		return
	case q.Header.Get("X-Davit-Signature") != want:
		r.t.Errorf("a delivery is signed %q, want %q", q.Header.Get("X-Davit-Signature"), want)
	case json.Unmarshal(body, &m) != nil:
		r.t.Errorf("a delivery is no JSON: %s", body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = append(r.heard, m)
}

func (r *receiver) requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// hears waits for a delivery about a commit and returns it.
func (r *receiver) hears(event, commit string, words ...string) told {
	r.t.Helper()
	var found told
	await(r.t, "word of "+event+" about "+commit, func() (bool, string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		at := slices.IndexFunc(r.heard, func(m told) bool {
			return m.Event == event && m.Commit == commit && saysAll(m.Message, words)
		})
		if at >= 0 {
			found = r.heard[at]
		}
		return at >= 0, fmt.Sprintf("%+v", r.heard)
	})
	return found
}

func TestAReceiverIsToldHowReleasesEndAndHoldsNoneUp(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	keep(t, secret, "between you and me")
	r := newReceiver(t, "between you and me")
	s := openSite(t, "told", testbed.Run{Args: []string{"--webhook", "url=http://" + r.addr + "/davit,secret_file=" + secret}})
	good := s.repo.Head()

	t.Run("a release that succeeded is told", func(t *testing.T) {
		m := r.hears("ReleaseSucceeded", good, "succeeded")
		if m.Stack != s.shop.Name || m.Seq != 1 || m.Severity != "info" || m.Instance == "" || m.ID == "" || m.Version == "" {
			t.Errorf("the delivery says %+v", m)
		}
	})
	t.Run("a release that failed, its hold and the way back are told", func(t *testing.T) {
		bad := s.bed.Push("web:bad", testbed.App{Version: "bad", Env: map[string]string{"HEALTH": "never", "STOP": "exit"}})
		commit := s.push(s.compose(bad.Ref))
		r.hears("ReleaseFailed", commit, "unhealthy")
		r.hears("Held", commit)
		r.hears("RolledBack", good)
	})
	t.Run("content that is waited for too long is told, and deployed all the same once it can be", func(t *testing.T) {
		late := s.bed.Ref("web:late")
		commit := s.push(s.compose(late) + "x-davit: {image_wait: 2s}\n")
		m := r.hears("WaitingTooLong", commit, late, "does not exist yet")
		if m.Severity != "error" {
			t.Errorf("severity = %s, want error", m.Severity)
		}
		s.stands("stalled", late)
		s.image = s.bed.Push("web:late", nimble("late"))
		if answer := s.agent.CLI("retry", s.shop.Name); answer.Code != 0 {
			t.Fatalf("davit retry: exit code %d: %s", answer.Code, answer.Stderr)
		}
		s.deployed(commit)
		r.hears("ReleaseSucceeded", commit)
	})
	t.Run("a receiver that never answers holds no release up, and is told when it does", func(t *testing.T) {
		asked := r.requests()
		r.hang()
		commit := s.edit()
		s.poll()
		s.deployed(commit)
		await(t, "a delivery that hangs", func() (bool, string) { return r.requests() > asked, "" })
		started := time.Now()
		another := s.edit()
		s.poll()
		s.deployed(another)
		t.Logf("deployed beside a delivery that hangs in %s", time.Since(started).Round(10*time.Millisecond))
		r.answer()
		r.hears("ReleaseSucceeded", another)
	})
	t.Run("a receiver that is down fails no release, and is told when it is back, after a restart too", func(t *testing.T) {
		r.close()
		commit := s.edit()
		s.poll()
		s.deployed(commit)
		if code := s.agent.Stop(); code != 0 {
			t.Errorf("exit code = %d, want 0", code)
		}
		r.open()
		s.agent.Start()
		r.hears("ReleaseSucceeded", commit)
	})
}
