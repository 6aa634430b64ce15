package probe

import (
	"context"
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

// transport makes one request over one connection: to the address that it is given,
// whatever proxies the environment names. Its connection ends with ctx, however the
// request does: what hangs would be left behind by every look.
func transport(ctx context.Context) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHead,
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				context.AfterFunc(ctx, func() { _ = c.Close() })
			}
			return c, err
		},
	}
}

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
	// RoundTrip, unlike a client, follows no redirect and keeps no cookie.
	answer, err := transport(ctx).RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= p.Low && answer.StatusCode <= p.High {
		return answer.Status, nil
	}
	// What cannot be read of the body does not change the verdict.
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	return string(body), told("answered " + answer.Status)
}
