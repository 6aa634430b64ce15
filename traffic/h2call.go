package traffic

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// call is one request on a client's HTTP/2 connection, and its way to an answer.
type call struct {
	conn *h2conn
	w    http.ResponseWriter
	r    *http.Request
	port *Port
	// session is what the client's cookie says, secure that it came by TLS.
	session session
	secure  bool
	// tried are the replicas that have not answered, why is the reason of the last one.
	tried []*replica
	why   reason
	// repeated is true once a replica may have seen the request without answering. A
	// request that kills replicas must not be taken to all of them.
	repeated bool
}

func newCall(h *h2conn, w http.ResponseWriter, r *http.Request) *call {
	c := &call{conn: h, w: w, r: r, port: h.front.port.Load(), why: noReplica}
	if c.port.Affinity == AffinityCookie {
		c.session = h.cookie.read(strings.Join(r.Header["Cookie"], ";"))
	}
	return c
}

// answer lets replicas try until one has answered, or none is left.
func (c *call) answer() {
	if c.r.Method == http.MethodConnect {
		c.reject(http.StatusMethodNotAllowed, "this is no proxy")
		return
	}
	if mistake := h2mistake(c.r); mistake != "" {
		c.reject(http.StatusBadRequest, mistake)
		return
	}
	c.prepare()
	for {
		l, err := c.conn.front.pool.claim(c.r.Context(), want{
			kind: leaseRequest, source: c.conn.client.source.Addr(), session: c.session, releases: c.asked(), avoid: c.tried,
		})
		switch {
		case errors.Is(err, errNobody):
			c.refuse(c.why)
			return
		case err != nil:
			panic(http.ErrAbortHandler) // the client has gone
		}
		a := newAttempt(c, l)
		if !a.run() {
			return
		}
		if !a.doubted {
			c.tried = append(c.tried, l.replica)
		}
	}
}

// asked are the releases that the request asks for.
func (c *call) asked() []int64 {
	meets := func(m Match) bool {
		for name, values := range c.r.Header {
			for _, value := range values {
				if m.meets([]byte(name), []byte(value)) {
					return true
				}
			}
		}
		return false
	}
	if slices.ContainsFunc(c.port.Match, meets) {
		return c.port.Matched
	}
	return nil
}

// prepare makes the client's fields those that replicas are sent.
func (c *call) prepare() {
	h, trusted := c.r.Header, c.conn.client.trusted
	had := forwarded{
		client: strings.Join(h["X-Forwarded-For"], ", "),
		proto:  h.Get("X-Forwarded-Proto"), host: h.Get("X-Forwarded-Host"),
	}
	strip(h, trusted)
	strip(c.r.Trailer, trusted) // those that are not announced are dropped as it is
	on := had.onward(trusted, c.conn.peer, c.r.Host)
	h["X-Forwarded-For"], h["X-Forwarded-Proto"] = []string{on.client}, []string{on.proto}
	if on.host != "" {
		h["X-Forwarded-Host"] = []string{on.host}
	}
	c.secure = on.proto == "https"
	if _, named := h["User-Agent"]; !named {
		h["User-Agent"] = nil // net/http would name itself
	}
}

// request is what is sent to the replica at address.
func (c *call) request(address string, body *h2upload) *http.Request {
	req := &http.Request{
		Method: c.r.Method, URL: h2target(c.r, address), Host: c.r.Host, Header: c.r.Header,
		// The values of trailers are put in when the body has been read.
		Trailer: c.r.Trailer, ContentLength: c.r.ContentLength,
	}
	if body != nil {
		req.Body = body
	}
	return req
}

// h2target is what a request asks for, letter for letter. A path that begins like an
// authority must go another way, or it would be taken for one.
func h2target(r *http.Request, address string) *url.URL {
	if strings.HasPrefix(r.RequestURI, "/") && !strings.HasPrefix(r.RequestURI, "//") {
		return &url.URL{Scheme: "http", Host: address, Opaque: r.RequestURI}
	}
	u := *r.URL
	u.Scheme, u.Host = "http", address
	return &u
}

// refuse answers the request without a replica.
func (c *call) refuse(why reason) {
	c.w.Header().Set(reasonField, why.String())
	if why.status() == http.StatusServiceUnavailable {
		c.w.Header().Set("Retry-After", "1")
	}
	http.Error(c.w, strings.TrimSuffix(why.text(), "\n"), why.status())
}

// reject answers what is no proper request.
func (c *call) reject(status int, mistake string) {
	c.w.Header().Set(reasonField, badMessage)
	http.Error(c.w, "The request was refused: "+mistake+".", status)
}

// hopByHop reports whether a field is about one connection only: RFC 9110, 7.6.1.
func hopByHop(name string, listed []string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade", "Trailer":
		return true
	}
	return slices.ContainsFunc(listed, func(field string) bool {
		return slices.ContainsFunc(strings.Split(field, ","), func(token string) bool {
			return strings.EqualFold(strings.TrimSpace(token), name)
		})
	})
}

// isGRPC reports whether a message of these fields belongs to gRPC.
func isGRPC(h http.Header) bool {
	const mediaType = "application/grpc"
	kind := h.Get("Content-Type")
	return strings.HasPrefix(kind, mediaType) && (len(kind) == len(mediaType) || kind[len(mediaType)] == '+' || kind[len(mediaType)] == ';')
}
