package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Crowd is clients on this host, each of which keeps one connection busy.
type Crowd struct {
	url  string
	end  context.CancelFunc
	done sync.WaitGroup

	mu    sync.Mutex
	tally Tally
	last  time.Time // of the last good answer
}

// crowdPause is between two requests of one client: many connections shall be busy,
// and not the machine.
const crowdPause = 40 * time.Millisecond

// Crowd has so many clients ask url, such as "http://127.0.0.1:8080/", again and again.
// It ends with the bed.
func (b *Bed) Crowd(url string, clients int) *Crowd {
	b.tb.Helper()
	ctx, cancel := context.WithCancel(b.tb.Context())
	c := &Crowd{url: url, end: cancel, tally: Tally{Versions: map[string]int{}, Errors: map[string]int{}}, last: time.Now()}
	for range clients {
		c.done.Go(func() { c.ask(ctx) })
	}
	b.tb.Cleanup(func() { c.Stop() })
	return c
}

// ask is one client.
func (c *Crowd) ask(ctx context.Context) {
	transport := &http.Transport{MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 90 * time.Second}
	for {
		begun := time.Now()
		version, err := c.once(ctx, client)
		if ctx.Err() != nil {
			return
		}
		c.count(begun, version, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(crowdPause):
		}
	}
}

func (c *Crowd) once(ctx context.Context, client *http.Client) (version string, err error) {
	// With a body that it cannot send twice, net/http asks once only, and hides nothing.
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, io.NopCloser(strings.NewReader("hello")))
	if err != nil {
		return "", err
	}
	a, err := client.Do(q)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(a.Body)
	err = errors.Join(err, a.Body.Close())
	if err == nil && a.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s", a.Status, a.Header.Get("X-Davit-Reason"))
	}
	return strings.TrimSpace(string(body)), err
}

func (c *Crowd) count(begun time.Time, version string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.tally.Total++
	c.tally.SlowestMS = max(c.tally.SlowestMS, now.Sub(begun).Milliseconds())
	if err != nil {
		c.tally.Failed++
		c.tally.Errors[err.Error()]++
		return
	}
	c.tally.Versions[version]++
	c.tally.LongestGapMS = max(c.tally.LongestGapMS, now.Sub(c.last).Milliseconds())
	c.last = now
}

// Tally is the count so far.
func (c *Crowd) Tally() Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tally
	t.Versions, t.Errors = maps.Clone(t.Versions), maps.Clone(t.Errors)
	return t
}

// Stop ends the crowd and returns the final count.
func (c *Crowd) Stop() Tally {
	c.end()
	c.done.Wait()
	return c.Tally()
}
