package testbed

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
	"strings"
)

// Engine is a container engine seen from outside: a few calls of its HTTP API,
// written anew so that what davit says of the engine can be doubted.
type Engine struct {
	// Host is "unix:///path" or "tcp://host:port".
	Host string
	http *http.Client
	base string
}

// errNotFound is the engine's answer 404.
var errNotFound = errors.New("not found")

func isGone(err error) bool { return errors.Is(err, errNotFound) }

// NewEngine connects to host; "" means DOCKER_HOST, or the usual socket without it.
func NewEngine(host string) (*Engine, error) {
	if host == "" {
		host = os.Getenv("DOCKER_HOST")
	}
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	scheme, address, _ := strings.Cut(host, "://")
	e := &Engine{Host: host}
	switch scheme {
	case "unix":
		e.base, e.http = "http://engine", &http.Client{Transport: unixTransport(address)}
	case "tcp", "http":
		e.base, e.http = "http://"+address, &http.Client{}
	default:
		return nil, fmt.Errorf("connect to engine %s: only unix:// and tcp:// are known", host)
	}
	return e, nil
}

// unixTransport dials the socket anew for every request: an engine that restarts
// leaves no stale connection behind.
func unixTransport(socket string) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableCompression: true,
		DisableKeepAlives:  true,
	}
}

// Ping reports whether the engine answers.
func (e *Engine) Ping(ctx context.Context) error { return e.get(ctx, "/_ping", nil, nil) }

// get decodes the answer into out unless that is nil.
func (e *Engine) get(ctx context.Context, path string, query url.Values, out any) error {
	body, err := e.open(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("read engine's answer to GET %s: %w", path, err)
	}
	return nil
}

// send posts in as JSON and decodes the answer into out; either may be nil.
func (e *Engine) send(ctx context.Context, path string, query url.Values, in, out any) error {
	var content *payload
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request for %s: %w", path, err)
		}
		content = &payload{bytes.NewReader(encoded), "application/json"}
	}
	body, err := e.open(ctx, http.MethodPost, path, query, content)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, body)
	} else {
		err = json.NewDecoder(body).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("read engine's answer to POST %s: %w", path, err)
	}
	return nil
}

// remove deletes a thing; one that is gone is no error.
func (e *Engine) remove(ctx context.Context, path string, query url.Values) error {
	body, err := e.open(ctx, http.MethodDelete, path, query, nil)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return body.Close()
}

// payload is what a request carries.
type payload struct {
	content io.Reader
	kind    string // media type
}

// open makes a request and returns the body of a good answer.
func (e *Engine) open(ctx context.Context, method, path string, query url.Values, p *payload) (io.ReadCloser, error) {
	if p == nil {
		p = &payload{}
	}
	request, err := http.NewRequestWithContext(ctx, method, e.base+path+"?"+query.Encode(), p.content)
	if err != nil {
		return nil, fmt.Errorf("ask engine %s %s: %w", method, path, err)
	}
	if p.kind != "" {
		request.Header.Set("Content-Type", p.kind)
	}
	response, err := e.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask engine %s %s: %w", method, path, err)
	}
	if response.StatusCode < 400 {
		return response.Body, nil
	}
	defer response.Body.Close()
	message, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
	if response.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("ask engine %s %s: %w: %s", method, path, errNotFound, bytes.TrimSpace(message))
	}
	return nil, fmt.Errorf("ask engine %s %s: %s: %s", method, path, response.Status, bytes.TrimSpace(message))
}

// filters is the engine's way to narrow a list.
func filters(narrow map[string][]string) url.Values {
	encoded, _ := json.Marshal(narrow) // a map of strings always encodes
	return url.Values{"filters": {string(encoded)}}
}
