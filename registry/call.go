package registry

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// call is the transport of one Resolve. It keeps credentials off plain http,
// bounds what a registry can make its client read, and notes when a registry
// asks for patience, which the client library does not tell.
type call struct {
	insecure map[string]bool
	next     http.RoundTripper
	requests atomic.Int32
	later    atomic.Pointer[later]
}

// later is a registry that asks for patience.
type later struct {
	status int
	after  time.Duration
}

var (
	errPlain = errors.New("plain http refused")
	errLarge = errors.New("answer too large")
	errLoop  = errors.New("too many requests for one image")
)

const (
	// maxAnswer bounds one answer, in bytes. Manifests and configurations are
	// far smaller, and nothing else is read.
	maxAnswer = 8 << 20
	// maxRequests bounds one call: ping, token, manifests and configuration, with
	// some redirects. The client library follows redirects without end.
	maxRequests = 25
	// maxRetryAfter bounds how much patience a registry can ask for.
	maxRetryAfter = time.Hour
)

func (c *call) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !c.insecure[req.URL.Host] && !loopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("%w: %s", errPlain, req.URL.Host)
	}
	if c.requests.Add(1) > maxRequests {
		return nil, errLoop
	}
	res, err := c.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	wait := res.Header.Get("Retry-After")
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable && wait != "" {
		c.later.Store(&later{status: res.StatusCode, after: retryAfter(wait, time.Now())})
	}
	res.Body = &bounded{ReadCloser: res.Body, left: maxAnswer}
	return res, nil
}

// loopback reports whether the host is this machine by name or number.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// retryAfter reads the header of that name, seconds or a date; 0 if it has none.
func retryAfter(value string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.Atoi(value); err == nil {
		d = time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// bounded ends a body that is too large with an error.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("%w: more than %d bytes", errLarge, maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
