package traffic

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"
)

// spoken is what a client's first bytes are.
type spoken int

const (
	// spokenNothing: there are none yet.
	spokenNothing spoken = iota
	// spokenUnclear: a line that has no end yet, and may become an HTTP request.
	spokenUnclear
	// spokenLikely: so far an HTTP request's line, and little else.
	spokenLikely
	spokenHTTP1
	spokenHTTP2
	// spokenOther: anything else, TLS for one. It is passed on as it is.
	spokenOther
)

var spokens = []string{"nothing", "unclear", "likely HTTP", "HTTP/1", "HTTP/2", "other"}

func (s spoken) String() string { return spokens[s] }

const (
	// silence is how long a client is given to begin, before the replica is asked
	// whether it does. One that speaks first begins with its first packet.
	silence = 20 * time.Millisecond
	// unclearPatience is how long a line may stay unclear. After that it is passed on,
	// and watched: a client may wait for the answer to a single letter.
	unclearPatience = 200 * time.Millisecond
	// likelyPatience is how long a request's line may take, lost packets included.
	likelyPatience = 5 * time.Second
	// longestMethod, of a method or a URI's scheme, and longestLine bound what is waited for.
	longestMethod = 32
	longestLine   = 8 << 10
)

// blanks may be between the words of a request's line, if the server is lenient.
const blanks = " \t\r\v\f"

// classify says what b is the beginning of. It takes for HTTP whatever a lenient
// server might: what is not strictly so is then refused there, instead of reaching
// such a server with headers that nobody looked at. What is neither unclear nor likely
// stays what it is, whatever follows.
func classify(b []byte) spoken {
	if len(b) == 0 {
		return spokenNothing
	}
	b = bytes.TrimLeft(b, "\n"+blanks) // servers pass over it before a request, some without end
	full := len(b) >= longestLine
	b = b[:min(len(b), longestLine)]
	line, _, whole := bytes.Cut(b, []byte("\n"))
	method, rest := line, []byte(nil)
	if at := bytes.IndexAny(line, blanks); at >= 0 {
		method, rest = line[:at], bytes.TrimLeft(line[at:], blanks)
	}
	switch {
	case bytes.IndexByte(line, 0) >= 0 || !token(method) || !target(rest) && bytes.ContainsFunc(line, unprintable):
		return spokenOther
	case whole:
		return classifyLine(line)
	case full && requested(rest):
		return spokenHTTP1 // which refuses it for its length
	case full:
		return spokenOther
	case target(rest):
		return spokenLikely
	default:
		return spokenUnclear
	}
}

// classifyLine says what a whole line is that begins with what may be a method.
func classifyLine(line []byte) spoken {
	if string(line) == "PRI * HTTP/2.0\r" {
		return spokenHTTP2
	}
	words := bytes.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(blanks, r) })
	for _, w := range words[min(1, len(words)):] {
		if len(w) >= 5 && bytes.EqualFold(w[:5], []byte("HTTP/")) {
			return spokenHTTP1
		}
	}
	return spokenOther
}

// requested reports whether a line whose end is not waited for may ask for something.
func requested(rest []byte) bool {
	scheme, _, found := bytes.Cut(rest[:min(len(rest), longestMethod+1)], []byte(":"))
	return target(rest) || found && token(scheme) || len(rest) < 4 && bytes.EqualFold(rest, []byte("http")[:len(rest)])
}

// unprintable reports what is in no line of text. After a target, lenient servers take
// it, all but the zero byte.
func unprintable(r rune) bool { return r < ' ' && !strings.ContainsRune(blanks, r) || r == 0x7f }

// token reports whether a word may be a method, or the beginning of one.
func token(word []byte) bool {
	for _, c := range word {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return len(word) <= longestMethod
}

// target reports whether what follows a method begins like that which is asked for.
func target(rest []byte) bool {
	return len(rest) > 0 && (rest[0] == '/' || rest[0] == '*' || len(rest) >= 4 && bytes.EqualFold(rest[:4], []byte("http")))
}

// serveAuto answers a client whose protocol is to be found out. A client that says
// nothing may wait for the replica to begin, so that is reached then.
func (f *front) serveAuto(ctx context.Context, c *client) {
	wait := silence
	if f.greets.Load() {
		wait = 0
	}
	said, err := c.hear(wait)
	switch {
	case err != nil:
		return // reset before it asked for anything
	case said == spokenNothing:
		f.serveSilent(ctx, c)
	default:
		f.serveSaid(ctx, c, said)
	}
}

// serveSaid answers a client that has begun.
func (f *front) serveSaid(ctx context.Context, c *client, said spoken) {
	switch said {
	case spokenHTTP1, spokenLikely:
		f.serveHTTP1(ctx, c)
	case spokenHTTP2:
		f.serveH2(ctx, c)
	case spokenUnclear:
		f.forward(ctx, c, new(watch))
	default:
		f.serveTCP(ctx, c)
	}
}

// hear reads until it is clear what the client speaks, or the time for that is over: a
// client that has said nothing is given wait, without a limit if that is negative.
// What there is of a client that has ended is other.
func (c *client) hear(wait time.Duration) (spoken, error) {
	begun, limited := time.Now(), spoken(-1)
	for {
		said := classify(c.ahead)
		if said != limited {
			limited = said
			switch {
			case said == spokenNothing && wait < 0: // who waits beside may end it
			case said == spokenNothing:
				c.SetReadDeadline(begun.Add(wait)) // a connection that is closed is read below
			case said == spokenUnclear:
				begun = time.Now()
				c.SetReadDeadline(begun.Add(unclearPatience))
			case said == spokenLikely:
				c.SetReadDeadline(time.Now().Add(likelyPatience))
			default:
				return said, c.SetReadDeadline(time.Time{})
			}
		}
		if len(c.ahead) >= longestLine { // most of it is blanks
			return said, c.SetReadDeadline(time.Time{})
		}
		switch err := c.peek(len(c.ahead) + 1); {
		case isTimeout(err):
			return said, c.SetReadDeadline(time.Time{})
		case errors.Is(err, io.EOF):
			return spokenOther, c.SetReadDeadline(time.Time{})
		case err != nil:
			return said, err
		}
	}
}

// watch looks on at a client that was let through while it was unclear what it speaks.
type watch struct{ seen []byte }

// errSlow is why a client is cut off that turns out to speak HTTP after all: it would
// get past everything that is done with a request's headers.
var errSlow = errors.New("a request's line came too slowly to be recognised")

// see takes note of a further piece, and reports whether the client is known now.
func (w *watch) see(piece []byte) (known bool, err error) {
	w.seen = bytes.TrimLeft(append(w.seen, piece...), "\n"+blanks)
	switch classify(w.seen) {
	case spokenHTTP1, spokenHTTP2:
		return false, errSlow
	case spokenOther:
		return true, nil
	default:
		return false, nil
	}
}
