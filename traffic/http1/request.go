package http1

import "bytes"

// Request is the head of a request. The zero value is ready for use; Reset makes it
// ready for another.
type Request struct {
	Head
	framing
	// Minor is the version, 1.0 or 1.1.
	Minor int
	Body  Body
	// Trailers is true when the client said that it takes trailers.
	Trailers bool

	method, target, host, protocol span
	begun                          bool
}

// span is a part of the buffer.
type span struct{ from, to int }

func (h *Head) at(s span) []byte { return h.buf[s.from:s.to] }

func (r *Request) Method() []byte { return r.at(r.method) }
func (r *Request) Target() []byte { return r.at(r.target) }

// Host is the value of that field; it is empty where there is none.
func (r *Request) Host() []byte { return r.at(r.host) }

// Protocol is what the client wants to go on with after this request; it is empty if
// nothing else.
func (r *Request) Protocol() []byte { return r.at(r.protocol) }

// Reset forgets everything but memory.
func (r *Request) Reset() {
	r.Head.reset()
	*r = Request{Head: r.Head, framing: framing{Length: -1}}
}

// Begun reports whether anything of a request has come.
func (r *Request) Begun() bool { return r.begun || r.line < len(r.buf) }

// Parse goes on with buf, which is what it was given before and more. It returns the
// length of the head, or 0 while that has not come whole. Its error is a *Malformed.
func (r *Request) Parse(buf []byte) (int, error) {
	r.buf = buf
	if !r.begun {
		if err := r.begin(); err != nil || !r.begun {
			return 0, err
		}
	}
	done, err := r.fields()
	switch {
	case err != nil:
		return 0, err
	case !done && len(buf) >= MaxHead:
		return 0, &Malformed{fieldsTooLarge, "the head is too long"}
	case !done:
		return 0, nil
	}
	if err := r.finish(); err != nil {
		return 0, err
	}
	return r.line, nil
}

// begin scans the request line. One empty line before it is passed over: old clients
// send it after a body.
func (r *Request) begin() error {
	empty := r.line > 0
	line, ok, err := r.next()
	switch {
	case err != nil:
		return err
	case !ok && len(r.buf) >= MaxHead:
		return &Malformed{uriTooLong, "the request line is too long"}
	case !ok:
		return nil
	case len(line) == 0 && !empty:
		return r.begin()
	}
	r.begun = true
	return r.requestLine(line)
}

// requestLine scans "GET /path HTTP/1.1".
func (r *Request) requestLine(line []byte) error {
	start := r.line - len(line) - len("\r\n")
	method, rest, _ := bytes.Cut(line, []byte{' '})
	target, version, _ := bytes.Cut(rest, []byte{' '})
	if len(method) == 0 || !all(method, &tokens) || len(target) == 0 || !all(target, &targets) {
		return bad("the request line is none")
	}
	r.method = span{start, start + len(method)}
	r.target = span{r.method.to + 1, r.method.to + 1 + len(target)}
	switch string(version) {
	case "HTTP/1.1":
		r.Minor = 1
	case "HTTP/1.0":
		r.Minor = 0
	default:
		if len(version) == len("HTTP/1.1") && bytes.HasPrefix(version, []byte("HTTP/")) {
			return &Malformed{versionNotKnown, "the version of HTTP is not known"}
		}
		return bad("the request line is none")
	}
	return nil
}

// finish draws from the fields what they mean together.
func (r *Request) finish() error {
	hosts := 0
	for i := range r.Fields {
		f := &r.Fields[i]
		if err := r.read(&r.Head, f); err != nil {
			return err
		}
		value := span{int(f.value), int(f.end)}
		switch f.Name {
		case Host:
			hosts++
			r.host = value
			f.Hop = r.Minor == 0 && f.value == f.end // as if there were none
		case Expect:
			if !Is(r.at(value), "100-continue") {
				return &Malformed{expectation, "only 100-continue can be expected"}
			}
			f.Hop = r.Minor == 0 // which knows none
		case Upgrade:
			r.protocol = value
		case TE:
			list(r.at(value), func(token []byte) { r.Trailers = r.Trailers || Is(token, "trailers") })
		case Disguised:
			// "Content_Length" reaches a CGI or WSGI application as Content-Length, and
			// "X_Forwarded_For" as what the edge vouches for.
			f.Hop = true
		}
	}
	if hosts > 1 || hosts == 0 && r.Minor == 1 {
		return bad("there is not one Host field")
	}
	if err := r.destination(); err != nil {
		return err
	}
	return r.frame()
}

// frame finds out how the body ends.
func (r *Request) frame() error {
	switch {
	case r.coded && r.Length >= 0:
		return bad("there are Transfer-Encoding and Content-Length")
	case r.coded && r.Minor == 0:
		return bad("HTTP/1.0 has no Transfer-Encoding")
	case r.coded:
		r.Body = Chunked
	case r.Length > 0:
		r.Body = Sized
	default:
		r.Body = NoBody
	}
	// To go on with HTTP/2 would be to go on past whatever is done to requests here,
	// and after a body nobody upgrades.
	if !r.Switch || r.Body != NoBody || r.Minor == 0 || Is(r.Protocol(), "h2c") || !all(r.Protocol(), &values) ||
		bytes.ContainsAny(r.Protocol(), ", \t") {
		r.protocol = span{}
	}
	return nil
}

// destination checks the target's form (RFC 9112 section 3.2) and the host.
func (r *Request) destination() error {
	target := r.Target()
	if !all(r.Host(), &hosts) {
		return bad("the Host field is no host")
	}
	switch {
	case Is(r.Method(), "connect"):
		return &Malformed{notImplemented, "nothing is connected to here"}
	case target[0] == '/':
		return nil
	case len(target) == 1 && target[0] == '*' && string(r.Method()) == "OPTIONS":
		return nil
	}
	// Who names the host twice must name one.
	scheme, rest, found := bytes.Cut(target, []byte("://"))
	if end := bytes.IndexAny(rest, "/?"); end >= 0 {
		rest = rest[:end]
	}
	if !found || !Is(scheme, "http") && !Is(scheme, "https") || len(rest) == 0 || !bytes.EqualFold(rest, r.Host()) {
		return bad("the target is none, or not of this host")
	}
	return nil
}

// KeepsAlive reports whether the client would make another request on the connection.
func (r *Request) KeepsAlive() bool { return !r.Close && (r.Minor == 1 || r.KeepAlive) }

// Idempotent reports whether the request may be made twice (RFC 9110 section 9.2.2).
func (r *Request) Idempotent() bool {
	switch string(r.Method()) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}
