package gitsource

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// dialHTTP prepares a conversation over http or https. Nothing is sent yet.
func dialHTTP(at address, keys credentials, limits Limits) (remote, error) {
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: keys.roots}
	client := &http.Client{
		Transport:     &boundedTransport{next: base, pack: limits.Pack},
		CheckRedirect: checkRedirect(keys.password != ""),
	}
	options := &githttp.ClientOptions{RedirectPolicy: githttp.FollowInitialRedirects}
	endpoint := &transport.Endpoint{Protocol: at.scheme.String(), Host: at.host, Port: at.port, Path: at.path}
	if strings.Contains(at.host, ":") {
		endpoint.Host = "[" + at.host + "]"
	}
	var auth transport.AuthMethod
	if keys.password != "" {
		user := keys.username
		if user == "" {
			user = at.user
		}
		auth = &githttp.BasicAuth{Username: user, Password: keys.password}
	}
	session, err := githttp.NewClientWithOptions(client, options).NewUploadPackSession(endpoint, auth)
	if err != nil {
		return nil, fmt.Errorf("prepare a request: %w", err)
	}
	return &wire{session: session, onClose: base.CloseIdleConnections}, nil
}

// checkRedirect refuses to take credentials to another host or to plain http.
// go-git drops them there; a private repository would then answer "not found",
// which sends its operator looking in the wrong place.
func checkRedirect(credentials bool) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		from := via[0].URL
		if !credentials || strings.EqualFold(req.URL.Host, from.Host) ||
			strings.EqualFold(req.URL.Hostname(), from.Hostname()) && from.Scheme == "http" && req.URL.Scheme == "https" {
			return nil
		}
		return fmt.Errorf("%w: from %s to %s with credentials", ErrRedirect, from.Host, clean(req.URL.Host, 100))
	}
}

// maxErrorBody bounds what is read of an error page, in bytes.
const maxErrorBody = 512

// boundedTransport bounds what a server can make its client read, and turns
// "later" into an error that says when.
type boundedTransport struct {
	next http.RoundTripper
	pack int64
}

func (t *boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable:
		_ = res.Body.Close() // of no interest
		return nil, &laterError{status: res.StatusCode, after: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	case res.StatusCode >= http.StatusBadRequest:
		res.Body = &boundedBody{ReadCloser: res.Body, left: maxErrorBody, end: io.EOF}
	case req.Method == http.MethodGet:
		res.Body = &boundedBody{ReadCloser: res.Body, left: maxListing, end: stalled(ErrTooLarge, "read a listing of more than %d bytes", maxListing)}
	default:
		// The pack's own bound is exact; this one also holds for what surrounds it.
		res.Body = &boundedBody{ReadCloser: res.Body, left: t.pack + t.pack/8 + mebi, end: stalled(ErrTooLarge, "receive a pack of more than %d bytes", t.pack)}
	}
	return res, nil
}

// boundedBody ends a body after some bytes with an error of its own.
type boundedBody struct {
	io.ReadCloser
	left int64
	end  error
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.end
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// laterError is a server that asks for patience.
type laterError struct {
	status int
	after  time.Duration
}

func (e *laterError) Error() string {
	return fmt.Sprintf("the server answered %d %s", e.status, http.StatusText(e.status))
}

// maxRetryAfter bounds what a server can ask for.
const maxRetryAfter = time.Hour

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

// httpStatus is the status of an answer that go-git has no name for.
func httpStatus(err error) (int, bool) {
	var answer *githttp.Err
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.StatusCode(), true
	}
	return 0, false
}
