package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// callers ask again and again, over kept connections and over new ones.
type callers struct {
	t       *testing.T
	over    chan struct{}
	answers chan string
	calls   sync.WaitGroup
}

// habit is over what connections callers ask, and how long they wait between two
// requests.
type habit struct {
	keeps func(n int) bool
	pause time.Duration
}

// keptAndNew is of those who are to notice any gap at the edge.
func keptAndNew() habit { return habit{func(n int) bool { return n%2 == 1 }, 5 * time.Millisecond} }

// keptOnly and newOnly are for load balancers: what nginx does to connections that are
// kept is not for davit to promise.
func keptOnly() habit { return habit{func(int) bool { return true }, 25 * time.Millisecond} }
func newOnly() habit  { return habit{func(int) bool { return false }, 25 * time.Millisecond} }

// call has four callers ask.
func call(t *testing.T, url string, h habit) *callers {
	c := &callers{t: t, over: make(chan struct{}), answers: make(chan string)}
	for n := range 4 {
		client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: !h.keeps(n)}}
		c.calls.Go(func() {
			defer client.CloseIdleConnections()
			for {
				answer, err := ask(client, url)
				if err != nil {
					t.Errorf("caller %d: %v", n, err)
					return
				}
				// Whoever waits for an answer must not make callers hurry: then they leave the
				// engine no time to replace what they call.
				rest := time.After(h.pause)
				select {
				case <-c.over:
					return
				case c.answers <- answer:
					<-rest
				case <-rest:
				}
			}
		})
	}
	t.Cleanup(c.end)
	return c
}

func ask(client *http.Client, url string) (string, error) {
	// With a body that it cannot send again, net/http does not hide that a kept connection
	// was closed.
	req, err := http.NewRequest(http.MethodGet, url, io.NopCloser(strings.NewReader("hello")))
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return string(text), err
}

// wait waits until a version answers.
func (c *callers) wait(version string) {
	c.t.Helper()
	for late := time.After(2 * time.Minute); ; {
		select {
		case answer := <-c.answers:
			if strings.Contains(answer, version) {
				return
			}
		case <-late:
			c.t.Fatalf("version %s does not answer", version)
		}
	}
}

func (c *callers) end() {
	select {
	case <-c.over:
	default:
		close(c.over)
	}
	c.calls.Wait()
}
