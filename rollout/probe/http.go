package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"

	"davit/compose"
)

const (
	// maxHead is how much of an answer's head is read, maxBody of a bad answer's body,
	// in bytes.
	maxHead = 64 << 10
	maxBody = 1 << 10
)

// lookHTTP returns what a bad answer said, with the error.
func lookHTTP(ctx context.Context, p *compose.HTTPProbe, at netip.Addr) (string, error) {
	target, err := url.ParseRequestURI(p.Path)
	if err != nil {
		return "", err
	}
	target.Scheme, target.Host = "http", netip.AddrPortFrom(at, p.Port).String()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return "", err
	}
	r.Host = p.Host
	r.Header.Set("User-Agent", "davit-probe")
	for name, value := range p.Headers {
		r.Header.Set(name, value)
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", target.Host)
	if err != nil {
		return "", err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	answer, err := ask(c, r)
	if err != nil {
		return "", err
	}
	if answer.StatusCode >= p.Low && answer.StatusCode <= p.High {
		return answer.Status, nil
	}
	// What cannot be read of the body does not change the verdict.
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	return string(body), told("answered " + answer.Status)
}

// ask makes one request, and follows no redirect and keeps no cookie. An [http.Transport]
// would take whatever comes before its request, from a server that speaks first, for a
// connection that broke, and not tell what it was.
func ask(c net.Conn, r *http.Request) (*http.Response, error) {
	r.Close = true
	if err := r.Write(c); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: c, N: maxHead}
	for text := bufio.NewReader(limited); ; {
		answer, err := http.ReadResponse(text, r)
		switch {
		case err != nil && limited.N == 0:
			return nil, fmt.Errorf("the head of its answer is longer than %d bytes", maxHead)
		case err != nil:
			return nil, err
		case answer.StatusCode >= 200 || answer.StatusCode == http.StatusSwitchingProtocols:
			limited.N += maxBody
			return answer, nil
		}
	}
}
