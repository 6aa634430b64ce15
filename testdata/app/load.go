package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// tally is what a load client has seen so far.
type tally struct {
	Total int `json:"total"`
	// Versions counts the answers with status 200 by their body.
	Versions map[string]int `json:"versions"`
	Failed   int            `json:"failed"`
	// Errors counts the failures by what was said of them.
	Errors map[string]int `json:"errors,omitempty"`
	// SlowestMS is the slowest answer, LongestGapMS the longest time without one,
	// both in milliseconds.
	SlowestMS    int64 `json:"slowest_ms"`
	LongestGapMS int64 `json:"longest_gap_ms"`
}

// client sends requests at a steady rate, however long the answers take.
type client struct {
	url  string
	http *http.Client

	mu    sync.Mutex
	seen  tally
	last  time.Time // of the last good answer
	slots chan struct{}
}

// maxInFlight bounds the requests under way; a tick that finds no room counts as
// a failure, for a caller would have been turned away.
const maxInFlight = 256

// load sends requests until ctx ends and prints a tally as one line of JSON every
// half second and at the end.
func load(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	rate := flags.Int("rate", 50, "requests per second")
	timeout := flags.Duration("timeout", 5*time.Second, "limit of one request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || *rate < 1 {
		return fmt.Errorf("usage: app load [-rate N] [-timeout D] URL")
	}
	c := &client{
		url:   flags.Arg(0),
		http:  &http.Client{Timeout: *timeout},
		seen:  tally{Versions: map[string]int{}, Errors: map[string]int{}},
		slots: make(chan struct{}, maxInFlight),
	}
	c.run(ctx, time.Second/time.Duration(*rate), json.NewEncoder(out))
	return nil
}

func (c *client) run(ctx context.Context, every time.Duration, out *json.Encoder) {
	var inFlight sync.WaitGroup
	requests, reports := time.NewTicker(every), time.NewTicker(500*time.Millisecond)
	defer requests.Stop()
	defer reports.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-reports.C:
			c.report(out)
		case <-requests.C:
			select {
			case c.slots <- struct{}{}:
				inFlight.Go(func() {
					defer func() { <-c.slots }()
					c.request()
				})
			default:
				c.count("", fmt.Errorf("no room for another request"), 0)
			}
		}
	}
	inFlight.Wait()
	c.report(out)
}

// request is not bound to the client's own end: what was begun is finished and
// counted.
func (c *client) request() {
	begun := time.Now()
	response, err := c.http.Get(c.url)
	if err != nil {
		c.count("", err, time.Since(begun))
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", response.StatusCode)
	}
	c.count(strings.TrimSpace(string(body)), err, time.Since(begun))
}

func (c *client) count(version string, err error, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.Total++
	if err != nil {
		c.seen.Failed++
		c.seen.Errors[err.Error()]++
		return
	}
	now := time.Now()
	if !c.last.IsZero() {
		c.seen.LongestGapMS = max(c.seen.LongestGapMS, now.Sub(c.last).Milliseconds())
	}
	c.last = now
	c.seen.Versions[version]++
	c.seen.SlowestMS = max(c.seen.SlowestMS, took.Milliseconds())
}

func (c *client) report(out *json.Encoder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = out.Encode(c.seen) // a closed log leaves nobody to tell
}
