package mix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// visitor is a client of HTTP.
type visitor struct {
	kind Kind
	// most is how much it sends at once, at most.
	most int
	// shared is a transport that others use as well; nil for one of its own.
	shared *http.Transport

	client *http.Client
	at     string
	asked  int
}

// transport is one that keeps a single connection, or none.
func (m *Mix) transport(kind Kind) *http.Transport {
	if kind == H2C || kind == UploadH2C {
		return m.h2c(kind)
	}
	return &http.Transport{MaxConnsPerHost: 1, DisableKeepAlives: kind == OneShot, DialContext: m.dialer(kind)}
}

func (m *Mix) h2c(kind Kind) *http.Transport {
	t := &http.Transport{Protocols: new(http.Protocols), DialContext: m.dialer(kind)}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// dialer counts the connections that it makes.
func (m *Mix) dialer(kind Kind) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		m.connected(kind)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

// ask asks for the version or, half of the time, sends something to have it back.
func (v *visitor) ask(ctx context.Context) (Server, error) {
	v.asked++
	if v.most < upload && v.asked%2 == 0 {
		by, body, err := v.send(ctx, http.MethodGet, "/", nil)
		if err == nil && string(body) != by.Version+"\n" {
			err = fmt.Errorf("%w: version %s answers %q", errMangled, by.Version, body)
		}
		return by, err
	}
	sent := noise(v.most)
	if v.most < upload {
		sent = noise(1 + rand.N(v.most))
	}
	by, body, err := v.send(ctx, http.MethodPost, "/echo", sent)
	if err == nil && !bytes.Equal(body, sent) {
		err = differ(body, sent)
	}
	return by, err
}

// send makes a request. One that net/http had to send twice has failed: most clients
// send none twice. That it took another connection before it had sent anything is no
// failure: it finds out so itself when a server of HTTP/2 asks it to go elsewhere.
func (v *visitor) send(ctx context.Context, method, path string, body []byte) (by Server, answer []byte, err error) {
	var tries atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { tries.Add(1) }})
	q, err := http.NewRequestWithContext(ctx, method, "http://"+v.at+path, bytes.NewReader(body))
	if err != nil {
		return by, nil, err
	}
	if len(body) > 0 && v.asked%4 < 2 {
		q.ContentLength = -1 // it is sent in chunks, or frames, of which nobody knows how many come
	}
	a, err := v.client.Do(q)
	if err != nil {
		return by, nil, err
	}
	answer, err = io.ReadAll(a.Body)
	if err = errors.Join(err, a.Body.Close()); err != nil {
		return by, nil, fmt.Errorf("of the answer came %d bytes: %w", len(answer), err)
	}
	switch h2 := v.kind == H2C || v.kind == UploadH2C; {
	case a.StatusCode != http.StatusOK:
		return by, nil, fmt.Errorf("%s %s: %s", a.Status, a.Header.Get("X-Davit-Reason"), strings.TrimSpace(string(answer[:min(len(answer), 100)])))
	case tries.Load() != 1:
		return by, nil, fmt.Errorf("it was asked %d times", tries.Load())
	case h2 != (a.ProtoMajor == 2):
		return by, nil, fmt.Errorf("the answer is %s", a.Proto)
	}
	by, err = served(a.Header.Get("Served-By"))
	return by, answer, err
}
