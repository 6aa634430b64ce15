package http1

// Between the chunks, a body may have slack bytes, and perChunk and twice the data of
// each chunk: extensions that say nothing are otherwise a way to have much read for
// little.
const (
	slack       = 16 << 10
	perChunk    = 16
	maxTrailers = 16 << 10
	// maxDigits of hexadecimal always fit in 63 bits.
	maxDigits = 15
)

// Chunks decodes a chunked body (RFC 9112 section 7.1). The zero value is ready for
// use; Reset makes it ready for another.
type Chunks struct {
	state    chunkState
	left     int64 // of this chunk
	digits   int
	overhead int64
	trailers Head
	raw      []byte // of the trailers
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkCR
	chunkLF
	chunkTrailers
	chunkDone
)

// Reset forgets everything but memory.
func (c *Chunks) Reset() {
	c.trailers.reset()
	*c = Chunks{trailers: c.trailers, raw: c.raw[:0]}
}

// Done reports whether the body has ended.
func (c *Chunks) Done() bool { return c.state == chunkDone }

// Trailers are the fields after the body, once it has ended.
func (c *Chunks) Trailers() *Head { return &c.trailers }

// Decode goes on with p. It moves the data together at the front of p, and returns it
// with how much of p it has taken: all of it, unless the body ends before. Its error
// is a *Malformed.
func (c *Chunks) Decode(p []byte) (data []byte, taken int, err error) {
	filled := 0
	for taken < len(p) && c.state != chunkDone {
		switch c.state {
		case chunkData:
			n := copy(p[filled:], p[taken:taken+int(min(c.left, int64(len(p)-taken)))])
			filled, taken = filled+n, taken+n
			c.overhead -= 2 * int64(n)
			if c.left -= int64(n); c.left == 0 {
				c.state = chunkCR
			}
		case chunkTrailers:
			n, err := c.trail(p[taken:])
			if err != nil {
				return p[:filled], taken, err
			}
			taken += n
		default:
			if err := c.step(p[taken]); err != nil {
				return p[:filled], taken, err
			}
			taken++
		}
	}
	return p[:filled], taken, nil
}

// step takes one byte of what is between the data.
func (c *Chunks) step(b byte) error {
	c.overhead = max(0, c.overhead+1)
	if c.overhead > slack {
		return bad("there is too much between the chunks")
	}
	switch c.state {
	case chunkSize:
		return c.sized(b)
	case chunkExtension:
		if b == '\r' {
			c.state = chunkSizeLF
		} else if !values[b] {
			return bad("a chunk's extension has control characters")
		}
	case chunkSizeLF:
		if b != '\n' {
			return bad("a chunk's size does not end in CRLF")
		}
		c.digits = 0
		c.overhead -= perChunk
		if c.state = chunkData; c.left == 0 {
			c.state = chunkTrailers
		}
	case chunkCR:
		if b != '\r' {
			return bad("a chunk is longer than it says")
		}
		c.state = chunkLF
	case chunkLF:
		if b != '\n' {
			return bad("a chunk does not end in CRLF")
		}
		c.state = chunkSize
	}
	return nil
}

// sized takes a digit of a chunk's size, or what ends it.
func (c *Chunks) sized(b byte) error {
	digit := int64(-1)
	switch {
	case b >= '0' && b <= '9':
		digit = int64(b - '0')
	case b >= 'a' && b <= 'f':
		digit = int64(b-'a') + 10
	case b >= 'A' && b <= 'F':
		digit = int64(b-'A') + 10
	}
	switch {
	case digit >= 0 && c.digits < maxDigits:
		c.left = c.left<<4 | digit
		c.digits++
	case digit >= 0 || c.digits == 0:
		return bad("a chunk's size is not a number")
	case b == '\r':
		c.state = chunkSizeLF
	case b == ';':
		c.state = chunkExtension
	default:
		return bad("a chunk's size is not a number")
	}
	return nil
}

// trail takes the lines after the last chunk.
func (c *Chunks) trail(p []byte) (taken int, err error) {
	had := len(c.raw)
	room := min(len(p), maxTrailers-had)
	c.raw = append(c.raw, p[:room]...)
	c.trailers.buf = c.raw
	done, err := c.trailers.fields()
	switch {
	case err != nil:
		return 0, err
	case done:
		c.state = chunkDone
		c.settle()
		return c.trailers.line - had, nil
	case len(c.raw) == maxTrailers:
		return 0, &Malformed{fieldsTooLarge, "the trailers are too long"}
	}
	return room, nil
}

// settle keeps from being passed on what must not come after a body: that on which
// framing, routing or the trust in a client rests (RFC 9110 section 6.5.1).
func (c *Chunks) settle() {
	for i := range c.trailers.Fields {
		f := &c.trailers.Fields[i]
		f.Hop = f.Name != Other || Is(c.trailers.Label(f), "authorization")
	}
}
