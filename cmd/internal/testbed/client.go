package testbed

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Client sends requests to a service from a container in the stack's own network,
// where the service's name means whatever the engine says at that moment.
type Client struct {
	bed *Bed
	id  string
}

// Tally is what a Client has counted.
type Tally struct {
	Total int `json:"total"`
	// Versions counts the good answers by the version that gave them.
	Versions map[string]int `json:"versions"`
	Failed   int            `json:"failed"`
	Errors   map[string]int `json:"errors"`
	// SlowestMS and LongestGapMS are the slowest answer and the longest time
	// without one, in milliseconds.
	SlowestMS    int64 `json:"slowest_ms"`
	LongestGapMS int64 `json:"longest_gap_ms"`
}

// Client starts sending rate requests per second to url, such as
// "http://web:8080/". The stack's network must exist.
func (s *Stack) Client(url string, rate int) *Client {
	b := s.bed
	b.tb.Helper()
	b.mu.Lock()
	image := b.client
	b.mu.Unlock()
	if image.Ref == "" {
		image = b.Load("client:1", App{Version: "client", NoHealthcheck: true})
		b.mu.Lock()
		b.client = image
		b.mu.Unlock()
	}
	id, err := b.Engine.Run(b.tb.Context(), Task{
		Name: s.Name + "-client", Image: image.Ref, Network: s.Network(), Label: b.Name,
		Args: []string{"load", "-rate", strconv.Itoa(rate), url},
	})
	if err != nil {
		b.tb.Fatalf("start client of %s: %v", s.Name, err)
	}
	return &Client{bed: b, id: id}
}

// Tally is the count so far, at most half a second old.
func (c *Client) Tally() Tally {
	c.bed.tb.Helper()
	var t Tally
	deadline := time.Now().Add(10 * time.Second)
	for {
		logs, err := c.bed.Engine.Logs(c.bed.tb.Context(), c.id)
		if err == nil {
			err = json.Unmarshal([]byte(tail(strings.TrimSpace(logs), 1)), &t)
		}
		if err == nil {
			return t
		}
		if time.Now().After(deadline) {
			c.bed.tb.Fatalf("read the client's count: %v in %q", err, logs)
		}
		time.Sleep(100 * time.Millisecond) // it has not printed its first line
	}
}

// Stop ends the client, leaves its network and returns the final count.
func (c *Client) Stop() Tally {
	c.bed.tb.Helper()
	ctx := c.bed.tb.Context()
	if err := c.bed.Engine.Stop(ctx, c.id); err != nil {
		c.bed.tb.Fatalf("stop client: %v", err)
	}
	t := c.Tally()
	if err := c.bed.Engine.RemoveContainer(ctx, c.id); err != nil {
		c.bed.tb.Fatalf("remove client: %v", err)
	}
	return t
}
