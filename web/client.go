package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"davit/reconcile"
)

// maxAnswer is the most that Client reads of one answer.
const maxAnswer = 64 << 20

// Client speaks to the agent behind a socket. Every method returns ErrNoAgent
// when none is running, and *Error for what the agent refused.
type Client struct {
	http   *http.Client
	socket string
}

// NewClient returns a client of the agent whose socket is at path. It connects
// with the first request.
func NewClient(path string) *Client {
	transport := &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, path) },
		MaxIdleConns:    2,
		IdleConnTimeout: readTimeout,
	}
	return &Client{http: &http.Client{Transport: transport}, socket: path}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Health asks whether the agent answers, and which version it is.
func (c *Client) Health(ctx context.Context) (h Health, err error) {
	return h, c.get(ctx, "/healthz", nil, &h)
}

// Status describes every stack.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.get(ctx, "/v1/status", nil, &s)
}

// Source describes the agent's sources.
func (c *Client) Source(ctx context.Context) (s SourceReport, err error) {
	return s, c.get(ctx, "/v1/source", nil, &s)
}

// Plan is what a pass would do now.
func (c *Client) Plan(ctx context.Context, r reconcile.PlanRequest) (p Plans, err error) {
	q := url.Values{"stack": {r.Stack}}
	if r.Values {
		q.Set("show_values", "1")
	}
	return p, c.get(ctx, "/v1/plan", q, &p)
}

// Adoption is what taking over what runs would mean, for one stack or for "" all
// that are not the agent's yet.
func (c *Client) Adoption(ctx context.Context, stack string) (a Adoptions, err error) {
	return a, c.get(ctx, "/v1/adoption", url.Values{"stack": {stack}}, &a)
}

// History returns a stack's releases, newest first; limit 0 means all.
func (c *Client) History(ctx context.Context, stack string, limit int) (h []Release, err error) {
	return h, c.get(ctx, "/v1/history/"+url.PathEscape(stack), url.Values{"limit": {strconv.Itoa(limit)}}, &h)
}

// Config is the rendered project of a stack's current release.
func (c *Client) Config(ctx context.Context, stack string, values bool) (r Rendered, err error) {
	q := url.Values{}
	if values {
		q.Set("show_values", "1")
	}
	return r, c.get(ctx, "/v1/config/"+url.PathEscape(stack), q, &r)
}

// Poll lists a source now, all of them for "", and returns when the results are
// declared.
func (c *Client) Poll(ctx context.Context, source string) (s SourceReport, err error) {
	return s, c.post(ctx, "/v1/poll?"+url.Values{"source": {source}}.Encode(), Order{}, &s)
}

// Apply lists the stack's source now and wakes the stack, or all of both for "".
// What became of it is for Status and Events to tell.
func (c *Client) Apply(ctx context.Context, stack string, o Order) (s SourceReport, err error) {
	path := "/v1/apply"
	if stack != "" {
		path = "/v1/stacks/" + url.PathEscape(stack) + "/apply"
	}
	return s, c.post(ctx, path, o, &s)
}

// Order gives an order about a stack: apply, rollback, unpin, retry, suspend,
// resume, promote, abort, drill, remove, adopt, stop, start or restart.
func (c *Client) Order(ctx context.Context, stack, verb string, o Order) error {
	var ignored json.RawMessage
	return c.post(ctx, "/v1/stacks/"+url.PathEscape(stack)+"/"+verb, o, &ignored)
}

// Drill asks for a rehearsal of the way back, and returns the release that it visits.
func (c *Client) Drill(ctx context.Context, stack string, o Order) (r Release, err error) {
	return r, c.post(ctx, "/v1/stacks/"+url.PathEscape(stack)+"/drill", o, &r)
}

// Rollback asks for an earlier release of a stack.
func (c *Client) Rollback(ctx context.Context, stack string, o Order) (r Release, err error) {
	return r, c.post(ctx, "/v1/stacks/"+url.PathEscape(stack)+"/rollback", o, &r)
}

func (c *Client) get(ctx context.Context, path string, q url.Values, into any) error {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	resp, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return decode(resp, into)
}

func (c *Client) post(ctx context.Context, path string, o Order, into any) error {
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode the order: %w", err)
	}
	resp, err := c.send(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	return decode(resp, into)
}

// send returns a 2xx answer, whose body the caller closes, or an error.
func (c *Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://davit"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the agent: %w", bare(err))
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, problem(resp)
}

// bare drops the URL that net/http puts before an error: it means nothing on a
// socket.
func bare(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

func decode(resp *http.Response, into any) error {
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	return nil
}

// problem is the error that an answer carries.
func problem(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	var p Problem
	if json.Unmarshal(text, &p) != nil || p.Error == "" {
		p.Error = fmt.Sprintf("the agent answered %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return &Error{Status: resp.StatusCode, Message: p.Error, Hint: p.Hint}
}
