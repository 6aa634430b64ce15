package traffic

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	// upstreamIdle is how long a connection to a replica is kept without a request.
	upstreamIdle = time.Minute
	// streamWindow is how much of an answer waits here for a client that does not take
	// it. The way to a replica is short, it need not be much.
	streamWindow = 64 << 10
	// answerHead bounds the fields of an answer.
	answerHead = 256 << 10
)

// h2transport makes a connection of one that was dialled.
func h2transport(conn net.Conn) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		Protocols:              protocols,
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableCompression:     true,
		IdleConnTimeout:        upstreamIdle,
		MaxResponseHeaderBytes: answerHead,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: streamWindow,
			SendPingTimeout:           pingAfter,
			WriteByteTimeout:          stuckAfter,
		},
	}
}

// h1transport speaks HTTP/1 to the replica.
func (t *trunk) h1transport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := t.dial(ctx)
			if err != nil {
				err = fmt.Errorf("%w: %w", errUndialled, err)
			}
			return conn, err
		},
		DisableCompression:     true,
		IdleConnTimeout:        upstreamIdle,
		MaxIdleConnsPerHost:    maxStreams,
		MaxResponseHeaderBytes: answerHead,
	}
}
