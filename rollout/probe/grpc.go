package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"davit/compose"
)

// maxMessage is how much of a health answer is read, in bytes. It has two in truth.
const maxMessage = 4 << 10

// errGarbage is the error of an answer that is not one of grpc.health.v1.
var errGarbage = errors.New("the answer is not one of grpc.health.v1")

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

// lookGRPC calls grpc.health.v1.Health/Check over HTTP/2 without TLS. It is one message
// there and one back, which is no reason for a library.
func lookGRPC(ctx context.Context, p *compose.GRPCProbe, at netip.Addr) (string, error) {
	target := url.URL{Scheme: "http", Host: netip.AddrPortFrom(at, p.Port).String(), Path: "/grpc.health.v1.Health/Check"}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(framed(checkRequest(p.Service))))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	r.Header.Set("User-Agent", "davit-probe")
	over := transport(ctx)
	over.Protocols = new(http.Protocols)
	over.Protocols.SetUnencryptedHTTP2(true)
	answer, err := over.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/grpc") {
		return "", fmt.Errorf("%w: %s", errGarbage, answer.Status)
	}
	// The trailers are known once the body has been read to its end.
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxMessage+1))
	if err != nil {
		return "", err
	}
	if len(body) > maxMessage {
		return "", fmt.Errorf("%w: it has no end", errGarbage)
	}
	return judged(answer, body)
}

// judged reads the verdict out of an answer.
func judged(answer *http.Response, body []byte) (string, error) {
	status := answer.Trailer.Get("Grpc-Status")
	message := answer.Trailer.Get("Grpc-Message")
	if status == "" { // an answer without a message has it in its head
		status, message = answer.Header.Get("Grpc-Status"), answer.Header.Get("Grpc-Message")
	}
	switch status {
	case "0":
	case "":
		return "", fmt.Errorf("%w: it has no status", errGarbage)
	case "5":
		return message, errors.New("the server does not know this service")
	case "12":
		return message, errors.New("the server does not implement grpc.health.v1")
	default:
		return message, fmt.Errorf("the call failed with status %s", status)
	}
	// A health that is UNKNOWN is 0, and what is 0 is left out: an empty message.
	if len(body) < 5 || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:5])) != uint64(len(body)-5) {
		return "", errGarbage
	}
	health, err := checkResponse(body[5:])
	if err != nil {
		return "", err
	}
	if health != serving {
		return "", fmt.Errorf("it is %s", healthName(health))
	}
	return healthName(health), nil
}

// framed is message as gRPC sends it: not compressed, and its length.
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// checkRequest is the message HealthCheckRequest{service = 1}.
func checkRequest(service string) []byte {
	if service == "" {
		return nil
	}
	m := binary.AppendUvarint([]byte{1<<3 | lengthDelimited}, uint64(len(service)))
	return append(m, service...)
}

// The wire types of protocol buffers.
const (
	varint          = 0
	fixed64         = 1
	lengthDelimited = 2
	fixed32         = 5
)

// serving is the one good ServingStatus.
const serving = 1

func healthName(status uint64) string {
	names := [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}
	if status < uint64(len(names)) {
		return names[status]
	}
	return fmt.Sprintf("of a health %d that nobody knows", status)
}

// checkResponse reads the message HealthCheckResponse{status = 1}. Fields that are not
// known are passed over, and of those that are repeated the last counts.
func checkResponse(m []byte) (status uint64, err error) {
	for len(m) > 0 {
		tag, n := binary.Uvarint(m)
		if n <= 0 {
			return 0, errGarbage
		}
		m = m[n:]
		var skip uint64
		switch tag & 7 {
		case varint:
			value, n := binary.Uvarint(m)
			if n <= 0 {
				return 0, errGarbage
			}
			if tag>>3 == 1 {
				status = value
			}
			skip = uint64(n)
		case lengthDelimited:
			length, n := binary.Uvarint(m)
			if n <= 0 || length > uint64(len(m)) {
				return 0, errGarbage
			}
			skip = uint64(n) + length
		case fixed64:
			skip = 8
		case fixed32:
			skip = 4
		default:
			return 0, errGarbage
		}
		if skip > uint64(len(m)) {
			return 0, errGarbage
		}
		m = m[skip:]
	}
	return status, nil
}
