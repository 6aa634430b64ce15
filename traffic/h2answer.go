package traffic

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// relay passes the replica's answer on. Whatever comes is sent at once: what somebody
// waits for may be a single event.
func (a *attempt) relay(res *http.Response) {
	if res.StatusCode < 200 || res.StatusCode > 999 {
		a.outcome.broken = true
		a.refuse(badAnswer)
		return
	}
	a.outcome.status = res.StatusCode
	a.begin(res)
	if !a.bodiless(res) {
		if err := a.body(res); err != nil {
			a.interrupted(err)
			return
		}
	}
	a.finish(res)
}

// bodiless reports whether no body can come, whatever length was named.
func (a *attempt) bodiless(res *http.Response) bool {
	return a.r.Method == http.MethodHead || res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified
}

// body passes the body on.
func (a *attempt) body(res *http.Response) error {
	// Where there is nothing, the end comes with the fields: gRPC wants it so when a call
	// fails at once.
	if res.ContentLength != 0 {
		if err := http.NewResponseController(a.w).Flush(); err != nil {
			return errClient
		}
	}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		a.lasts <- struct{}{}
	}
	return a.copy(res.Body)
}

// begin sends the head of the answer, or has it sent with what follows.
func (a *attempt) begin(res *http.Response) {
	h := a.w.Header()
	listed := res.Header["Connection"]
	for name, values := range res.Header {
		if !hopByHop(name, listed) {
			h[name] = values
		}
	}
	// net/http would guess what the replica did not say.
	for _, name := range []string{"Content-Type", "Content-Length"} {
		if _, said := h[name]; !said {
			h[name] = nil
		}
	}
	for name := range res.Trailer {
		h.Add("Trailer", name)
	}
	if a.port.Affinity == AffinityCookie && a.session != a.lease.session() {
		h.Add("Set-Cookie", a.conn.cookie.set(a.lease.session(), a.secure))
	}
	a.w.WriteHeader(res.StatusCode)
	a.answered.Store(true)
}

// errClient is wrapped by what goes wrong on the client's side.
var errClient = errors.New("the client does not take the answer")

// copy passes the body on, piece by piece.
func (a *attempt) copy(body io.Reader) error {
	lent := a.conn.front.buffers.get(pieceSize)
	defer a.conn.front.buffers.put(lent)
	flusher := http.NewResponseController(a.w)
	for {
		n, err := body.Read(*lent)
		if n > 0 {
			a.taking.give(a.conn.front.now())
			if _, werr := a.w.Write((*lent)[:n]); werr != nil {
				return errClient
			}
			if werr := flusher.Flush(); werr != nil {
				return errClient
			}
			a.taking.took()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// finish adds the trailers, which tell how a gRPC call went.
func (a *attempt) finish(res *http.Response) {
	h := a.w.Header()
	for name, values := range res.Trailer {
		h[http.TrailerPrefix+name] = values
	}
	if isGRPC(res.Header) {
		status := res.Trailer.Get("Grpc-Status")
		if status == "" {
			status = res.Header.Get("Grpc-Status")
		}
		a.outcome.status = grpcFailure(status, a.outcome.status)
	}
}

// grpcFailure is the HTTP status that says what a gRPC status does about a replica.
// One that does not know a method, which callers like to try out, is not failing.
func grpcFailure(status string, otherwise int) int {
	const unknown, deadlineExceeded, internal, unavailable, dataLoss = 2, 4, 13, 14, 15
	code, err := strconv.Atoi(status)
	if err != nil {
		return otherwise
	}
	switch code {
	case unknown, internal, dataLoss:
		return http.StatusInternalServerError
	case deadlineExceeded:
		return http.StatusGatewayTimeout
	case unavailable:
		return http.StatusServiceUnavailable
	default:
		return otherwise
	}
}

// interrupted ends an answer that has begun so that the client sees that it is not
// whole: by a reset, or in gRPC by a status that has it call again.
func (a *attempt) interrupted(err error) {
	switch {
	case a.r.Context().Err() != nil || errors.Is(err, errClient):
		panic(http.ErrAbortHandler)
	case a.isCutOff():
		a.why = cutOff
	default:
		a.outcome.broken, a.why = true, broken
	}
	if !a.grpc {
		panic(http.ErrAbortHandler)
	}
	const unavailable = "14"
	h := a.w.Header()
	h.Set(http.TrailerPrefix+"Grpc-Status", unavailable)
	h.Set(http.TrailerPrefix+"Grpc-Message", strings.TrimSuffix(a.why.text(), ".\n"))
	h.Set(http.TrailerPrefix+reasonField, a.why.String())
}
