package web

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"davit/reconcile"
)

const (
	// batch is how many events are read and written at once.
	batch = 500
	// lately is how many events an answer begins with unless asked otherwise.
	lately = 100
	// heartbeat is how often a silent stream gets an empty line, so that a
	// reader that went away is noticed.
	heartbeat = 15 * time.Second
)

// follower writes the event log to one reader.
type follower struct {
	log   EventLog
	stack string
	after int64
	w     http.ResponseWriter
}

// events answers GET /v1/events: JSON lines, oldest first. It begins after the
// event with the ID ?after=, else with the last ?limit= events, and with
// ?follow=1 goes on until the reader leaves or ctx ends.
func (s *Server) events(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, err := count(r, "limit", lately)
	if err != nil {
		refuse(w, err)
		return
	}
	f := &follower{log: s.Events, stack: q.Get("stack"), w: w}
	if f.after, err = s.begin(r, f.stack, limit); err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for {
		ring := s.Bell.Next()
		if err := f.catchUp(r.Context()); err != nil {
			// The header is out: ending the answer early is all that is left, and
			// the reader resumes after the last event that it saw.
			if r.Context().Err() == nil {
				s.Logger.Warn("event stream ended", "error", err)
			}
			return
		}
		if q.Get("follow") == "" || q.Get("follow") == "0" {
			return
		}
		select {
		case <-ring:
		case <-time.After(heartbeat):
			if err := f.write([]byte("\n")); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// begin is the ID after which an answer starts.
func (s *Server) begin(r *http.Request, stack string, limit int) (int64, error) {
	if text := r.URL.Query().Get("after"); text != "" {
		after, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, &Error{Status: http.StatusBadRequest, Message: "after: not a number"}
		}
		return after, nil
	}
	// One more than is wanted: the answer starts after it.
	last, err := s.Events.LastEvents(r.Context(), stack, limit+1)
	if err != nil || len(last) <= limit {
		return 0, err
	}
	return last[0].ID, nil
}

// catchUp writes everything that the log has.
func (f *follower) catchUp(ctx context.Context) error {
	for {
		events, err := f.log.Events(ctx, f.stack, f.after, batch)
		if err != nil {
			return err
		}
		if err := f.write(lines(events)); err != nil {
			return err
		}
		if len(events) > 0 {
			f.after = events[len(events)-1].ID
		}
		if len(events) < batch {
			return nil
		}
	}
}

// write gives the reader a limited time to take b: one that hangs must not keep
// a connection and a goroutine for ever.
func (f *follower) write(b []byte) error {
	c := http.NewResponseController(f.w)
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := f.w.Write(b); err != nil {
		return err
	}
	return c.Flush()
}

func lines(events []reconcile.Event) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, event := range events {
		// An Event holds strings and numbers only: encoding it cannot fail, and
		// writing to a buffer does not.
		_ = e.Encode(event)
	}
	return b.Bytes()
}
