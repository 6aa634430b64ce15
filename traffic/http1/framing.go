package http1

// Body is how the end of a body is found.
type Body uint8

const (
	// NoBody ends with the head.
	NoBody Body = iota
	// Sized has a Content-Length.
	Sized
	// Chunked says its end itself.
	Chunked
	// UntilClose ends with the connection.
	UntilClose
)

var bodies = [...]string{"none", "sized", "chunked", "until close"}

func (b Body) String() string { return bodies[b] }

// maxOptions is how many options Connection may have. Each is looked for among all fields,
// so that thousands of them would be much work for one request.
const maxOptions = 64

// maxLength has 18 digits, which always fit in 63 bits.
const maxLength = 18

// framing is what the fields of a message say about its body and its connection.
type framing struct {
	// Length is that of a Sized body, -1 if the head does not say one.
	Length int64
	// Close and KeepAlive are what Connection says; Switch is true when it names Upgrade.
	Close, KeepAlive, Switch bool

	coded   bool // there is a Transfer-Encoding
	options int  // how many Connection has
}

// read takes one field in.
func (m *framing) read(h *Head, f *Field) error {
	value := h.Value(f)
	switch f.Name {
	case ContentLength:
		n, err := size(value)
		if err != nil {
			return err
		}
		if m.Length >= 0 {
			return bad("there are two Content-Length fields")
		}
		m.Length = n
	case TransferEncoding:
		f.Hop = true
		if m.coded || !Is(value, "chunked") {
			return &Malformed{notImplemented, "a Transfer-Encoding is not just chunked"}
		}
		m.coded = true
	case Connection:
		f.Hop = true
		list(value, func(token []byte) { m.option(h, token) })
		if m.options > maxOptions {
			return bad("Connection has too many options")
		}
	case KeepAlive, ProxyConnection, TE, Upgrade, HTTP2Settings:
		f.Hop = true
	}
	return nil
}

func (m *framing) option(h *Head, token []byte) {
	m.options++
	switch {
	case m.options > maxOptions:
	case Is(token, "close"):
		m.Close = true
	case Is(token, "keep-alive"):
		m.KeepAlive = true
	case Is(token, "upgrade"):
		m.Switch = true
	case Is(token, "te"): // hop by hop whatever it says
	default:
		h.drop(token)
	}
}

func size(value []byte) (n int64, err error) {
	if len(value) == 0 || len(value) > maxLength {
		return 0, bad("a Content-Length is not a number")
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, bad("a Content-Length is not a number")
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}
