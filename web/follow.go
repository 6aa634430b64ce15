package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"davit/reconcile"
)

// again is the pause before a broken event stream is opened again.
const again = time.Second

// EventQuery says which events are wanted.
type EventQuery struct {
	// Stack is "" for all of them.
	Stack string
	// After is the ID of the last event that is already known; 0 starts with the
	// newest Limit events.
	After int64
	// Limit is how many events to begin with; 0 leaves it to the agent.
	Limit int
	// Follow goes on with what happens from now on.
	Follow bool
}

// Events calls each for every event, oldest first. Following ends with ctx, or
// with the error that each returns; a stream that breaks, because the agent is
// restarted or this reader was too slow, goes on after the last event seen.
func (c *Client) Events(ctx context.Context, q EventQuery, each func(reconcile.Event) error) error {
	seen := false
	for {
		err := c.stream(ctx, &q, func(e reconcile.Event) error {
			seen = true
			return each(e)
		})
		var stopped *stop
		if errors.As(err, &stopped) {
			return stopped.err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var refused *Error
		if !q.Follow || errors.As(err, &refused) || (err != nil && !seen) {
			return err
		}
		seen = true
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(again):
		}
	}
}

// stop carries what each returned through the layers of a stream.
type stop struct{ err error }

func (s *stop) Error() string { return "reader stopped" }

// stream reads one answer; q.After moves along with what was read.
func (c *Client) stream(ctx context.Context, q *EventQuery, each func(reconcile.Event) error) error {
	resp, err := c.send(ctx, http.MethodGet, "/v1/events?"+q.values().Encode(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var e reconcile.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		q.After = e.ID
		if err := each(e); err != nil {
			return &stop{err}
		}
	}
	return lines.Err()
}

func (q *EventQuery) values() url.Values {
	v := url.Values{}
	if q.Stack != "" {
		v.Set("stack", q.Stack)
	}
	if q.After != 0 {
		v.Set("after", strconv.FormatInt(q.After, 10))
	} else if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Follow {
		v.Set("follow", "1")
	}
	return v
}
