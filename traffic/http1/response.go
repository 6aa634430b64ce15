package http1

import "bytes"

// Response is the head of a response. Its fields and framing are as those of a
// Request.
type Response struct {
	Head
	framing
	Minor  int
	Status int
	Body   Body
	// Events is true of server-sent events, which last.
	Events bool

	reason, protocol span
	begun            bool
}

// Asked is what of a request decides how its response is framed.
type Asked struct {
	Head    bool // the method is HEAD
	Upgrade bool
}

// Reason is the status line after the version: "200 OK".
func (r *Response) Reason() []byte { return r.at(r.reason) }

// Protocol is what a 101 switches to.
func (r *Response) Protocol() []byte { return r.at(r.protocol) }

// Reset forgets everything but memory.
func (r *Response) Reset() {
	r.Head.reset()
	*r = Response{Head: r.Head, framing: framing{Length: -1}}
}

// Parse goes on with buf, as that of a Request does.
func (r *Response) Parse(buf []byte, asked Asked) (int, error) {
	r.buf = buf
	if !r.begun {
		line, ok, err := r.next()
		if err != nil {
			return 0, err
		}
		if ok {
			r.begun = true
			err = r.statusLine(line)
		} else if len(buf) >= MaxHead {
			err = bad("the status line is too long")
		}
		if err != nil || !ok {
			return 0, err
		}
	}
	done, err := r.fields()
	switch {
	case err != nil:
		return 0, err
	case !done && len(buf) >= MaxHead:
		return 0, bad("the head is too long")
	case !done:
		return 0, nil
	}
	if err := r.finish(asked); err != nil {
		return 0, err
	}
	return r.line, nil
}

// statusLine scans "HTTP/1.1 200 OK". Many servers leave out the space before a reason
// that is empty.
func (r *Response) statusLine(line []byte) error {
	const prefix = "HTTP/1."
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte(prefix)) || line[8] != ' ' {
		return bad("the status line is none")
	}
	minor, rest := line[7], line[9:]
	for _, c := range rest[:3] {
		if c < '0' || c > '9' {
			return bad("the status line is none")
		}
		r.Status = r.Status*10 + int(c-'0')
	}
	if minor != '0' && minor != '1' || r.Status < 100 || r.Status > 599 || len(rest) > 3 && rest[3] != ' ' || !all(rest, &values) {
		return bad("the status line is none")
	}
	r.Minor = int(minor - '0')
	start := r.line - len(line) - len("\r\n")
	r.reason = span{start + 9, start + len(line)}
	return nil
}

func (r *Response) finish(asked Asked) error {
	for i := range r.Fields {
		f := &r.Fields[i]
		if err := r.read(&r.Head, f); err != nil {
			return err
		}
		switch f.Name {
		case Upgrade:
			r.protocol = span{int(f.value), int(f.end)}
		case ContentType:
			media, _, _ := bytes.Cut(r.Value(f), []byte{';'})
			r.Events = r.Events || Is(bytes.TrimRight(media, " \t"), "text/event-stream")
		}
	}
	return r.frame(asked)
}

// frame finds out how the body ends (RFC 9112 section 6.3).
func (r *Response) frame(asked Asked) error {
	switch {
	case r.coded && r.Length >= 0:
		return bad("there are Transfer-Encoding and Content-Length")
	case r.coded && r.Minor == 0:
		return bad("HTTP/1.0 has no Transfer-Encoding")
	case r.Status == 101 && !asked.Upgrade:
		return bad("it switches protocols unasked")
	case r.Status < 200 || r.Status == 204:
		if r.coded || r.Length > 0 {
			return bad("there is a body where none can be")
		}
		r.without(ContentLength)
	case asked.Head || r.Status == 304:
	case r.coded:
		r.Body = Chunked
	case r.Length > 0:
		r.Body = Sized
	case r.Length < 0:
		r.Body = UntilClose
	}
	return nil
}

// without takes a field out of what is passed on.
func (r *Response) without(name Name) {
	for i := range r.Fields {
		if r.Fields[i].Name == name {
			r.Fields[i].Hop = true
		}
	}
}

// Coded reports whether there is a Transfer-Encoding, which a response to HEAD may
// have without a body.
func (r *Response) Coded() bool { return r.coded }

// KeepsAlive reports whether the server would take another request on the connection.
func (r *Response) KeepsAlive() bool {
	return !r.Close && r.Body != UntilClose && (r.Minor == 1 || r.KeepAlive)
}
