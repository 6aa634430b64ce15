package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"davit/reconcile"
	"davit/traffic/socket"
)

// ErrNoEdge: nobody answers on the edge's socket.
var ErrNoEdge = errors.New("no edge is running")

// Client steers the edge behind a socket. Its errors are ErrNoEdge when none is
// running, and a *Refusal for what the edge did not take. Every call has a deadline.
type Client struct {
	http *http.Client
	path string

	mu sync.Mutex
	// api is the version that both speak, 0 while that is not known.
	api int
}

// NewClient returns a client of the edge whose socket is at path. It connects with
// the first request.
func NewClient(path string) *Client {
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return socket.Dial(ctx, path) },
		MaxIdleConns:    2,
		IdleConnTimeout: time.Minute,
	}}}
}

// Socket is where the edge of a data directory listens.
func Socket(data string) string { return socketIn(Dir(data)) }

func socketIn(dir string) string { return filepath.Join(dir, SocketName) }

// Dir is the edge's part of a data directory.
func Dir(data string) string { return filepath.Join(data, "edge") }

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Apply has the edge serve t. What it acknowledges holds for everything that begins
// from then on. Applying a table again is safe, also after an error.
func (c *Client) Apply(ctx context.Context, t Table) (ack Acknowledgement, err error) {
	if err := c.call(ctx, http.MethodPut, "/table", t, &ack); err != nil {
		return ack, fmt.Errorf("apply table %d: %w", t.Generation, err)
	}
	return ack, nil
}

// Table is the newest table that the edge has, the zero one before the first.
func (c *Client) Table(ctx context.Context) (t Table, err error) {
	return t, c.call(ctx, http.MethodGet, "/table", nil, &t)
}

// State says what the edge serves and what is under way, with what the edges before
// it have not finished.
func (c *Client) State(ctx context.Context) (s State, err error) {
	return s, c.call(ctx, http.MethodGet, "/state", nil, &s)
}

// Signals counts what every replica was given and how it answered.
func (c *Client) Signals(ctx context.Context) (s SignalReport, err error) {
	return s, c.call(ctx, http.MethodGet, "/signals", nil, &s)
}

// Versions asks the edge who it is.
func (c *Client) Versions(ctx context.Context) (v Versions, err error) {
	ctx, cancel := context.WithTimeout(ctx, adminPatience)
	defer cancel()
	err = c.exchange(ctx, http.MethodGet, "/versions", nil, &v)
	var other *Refusal
	var syntax *json.SyntaxError
	if errors.As(err, &other) || errors.As(err, &syntax) || err == nil && v.Name != edgeName {
		return Versions{}, reconcile.WithHint(fmt.Errorf("what answers on %s is no edge", c.path), "find out with `ss -xlp` what it is, and stop it")
	}
	return v, err
}

// call makes a request of the newest version of the API that both speak. Of an edge
// that has handed over meanwhile it is asked again: its successor answers soon.
func (c *Client) call(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, adminPatience)
	defer cancel()
	for {
		err := c.once(ctx, method, path, body, into)
		if err == nil || !errors.Is(err, errHandedOver) {
			return err
		}
		c.http.CloseIdleConnections()
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Client) once(ctx context.Context, method, path string, body, into any) error {
	api, err := c.version(ctx)
	if err != nil {
		return err
	}
	err = c.exchange(ctx, method, "/v"+strconv.Itoa(api)+path, body, into)
	if err != nil {
		c.forget() // another edge may be the next to answer
	}
	return err
}

// version is the version of the API that both speak.
func (c *Client) version(ctx context.Context) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.api != 0 {
		return c.api, nil
	}
	theirs, err := c.Versions(ctx)
	if err != nil {
		return 0, err
	}
	c.api, err = newVersions("", 0).common(theirs)
	return c.api, err
}

func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.api = 0
}

// exchange makes one request and reads its answer.
func (c *Client) exchange(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode for the edge: %w", err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://edge"+path, content)
	if err != nil {
		return fmt.Errorf("ask the edge: %w", err)
	}
	// Every request can be repeated, and is where the edge closed a connection that was
	// kept: with this key, which is not sent, net/http does so.
	req.Header["Idempotency-Key"] = nil
	resp, err := c.http.Do(req)
	if err != nil && content != nil {
		req.Body, _ = req.GetBody() // of bytes, which do not fail
	}
	if err != nil && ctx.Err() == nil {
		// An edge may end while it is asked: whether another answers, or nobody, is for
		// a second attempt to tell.
		resp, err = c.http.Do(req)
	}
	if err != nil {
		return c.unreached(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return refusal(resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxTable)).Decode(into); err != nil {
		return fmt.Errorf("read the edge's answer: %w", err)
	}
	return nil
}

// unreached explains why no answer came.
func (c *Client) unreached(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err // the URL means nothing on a socket
	}
	switch {
	case errors.Is(err, socket.ErrNobody):
		return reconcile.WithHint(fmt.Errorf("%w: %w", ErrNoEdge, err), "start one with `davit edge`")
	case errors.Is(err, os.ErrPermission):
		return reconcile.WithHint(fmt.Errorf("ask the edge: %w", err), "the socket belongs to the user that runs the edge: try sudo")
	}
	return fmt.Errorf("ask the edge: %w", err)
}
