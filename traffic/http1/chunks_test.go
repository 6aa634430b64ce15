package http1

import (
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"strings"
	"testing"
)

// decode gives the decoder text in pieces of the given size.
func decode(text string, piece int) (data []byte, taken int, c *Chunks, err error) {
	c = new(Chunks)
	for taken < len(text) && !c.Done() {
		p := []byte(text[taken:min(taken+piece, len(text))])
		got, n, err := c.Decode(p)
		data, taken = append(data, got...), taken+n
		if err != nil {
			return data, taken, c, err
		}
		if n < len(p) && !c.Done() {
			return data, taken, c, errors.New("something was left, though it is not the end")
		}
	}
	return data, taken, c, nil
}

func TestChunksAreReadWhereverTheyAreCut(t *testing.T) {
	const text = "5\r\nhello\r\nA;name=\"a b\"\r\n, world!!!\r\n0000\r\nX-Sum: 12\r\nContent-Length: 4\r\nX-More: a\r\n\r\n"
	for piece := 1; piece <= len(text); piece++ {
		data, taken, c, err := decode(text+"GET / HTTP/1.1", piece)
		if err != nil || !c.Done() || taken != len(text) || string(data) != "hello, world!!!" {
			t.Fatalf("in pieces of %d: %q, %d of %d, done %v, %v", piece, data, taken, len(text), c.Done(), err)
		}
		if got := string(c.Trailers().Append(nil, func(Name) bool { return false })); got != "X-Sum: 12\r\nX-More: a\r\n" {
			t.Fatalf("in pieces of %d: trailers %q", piece, got)
		}
	}
}

func TestChunksThatCanBeReadInTwoWaysAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"a size that ends in LF":     "5\nhello\r\n0\r\n\r\n",
		"a chunk that ends in LF":    "5\r\nhello\n0\r\n\r\n",
		"a chunk that is longer":     "5\r\nhello!\r\n0\r\n\r\n",
		"a chunk that ends in CR CR": "5\r\nhello\r\r0\r\n\r\n",
		"an end of LF":               "0\r\n\n",
		"no size":                    "\r\nhello\r\n",
		"only an extension":          ";a=b\r\nhello\r\n",
		"a size with a prefix":       "0x5\r\nhello\r\n",
		"a size with a sign":         "+5\r\nhello\r\n",
		"a negative size":            "-5\r\nhello\r\n",
		"a size with a space":        "5 \r\nhello\r\n",
		"a space before the size":    " 5\r\nhello\r\n",
		"a size with underscores":    "1_0\r\nhello\r\n",
		"a size beyond all numbers":  "10000000000000005\r\nhello\r\n",
		"an extension with LF":       "5;a\nhello\r\n",
		"an extension with CR":       "5;a\rb\r\nhello\r\n",
		"an extension without end":   "5;" + strings.Repeat("a", slack) + "\r\nhello\r\n",
		"many long extensions":       strings.Repeat("1;"+strings.Repeat("a", 100)+"\r\nx\r\n", slack/80),
		"trailers without end":       "0\r\n" + strings.Repeat("X: y\r\n", maxTrailers/6+1),
		"a folded trailer":           "0\r\nX: y\r\n z\r\n\r\n",
		"a trailer that ends in LF":  "0\r\nX: y\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 7, len(text)} {
				data, _, _, err := decode(text, piece)
				var m *Malformed
				if !errors.As(err, &m) {
					t.Errorf("in pieces of %d: %q, %v", piece, data, err)
				}
			}
		})
	}
}

func TestABodyOfOneByteChunksIsRead(t *testing.T) {
	const size = 100_000
	data, _, c, err := decode(strings.Repeat("1\r\nx\r\n", size)+"0\r\n\r\n", 4096)
	if err != nil || !c.Done() || len(data) != size {
		t.Fatalf("%d bytes, done %v: %v", len(data), c.Done(), err)
	}
}

// FuzzChunks holds the decoder against itself in other pieces, and against net/http's:
// what this one accepts, that one reads the same way.
func FuzzChunks(f *testing.F) {
	f.Add("5\r\nhello\r\n0\r\nX: y\r\n\r\n", uint8(3))
	f.Add("a;b=c\r\n0123456789\r\n0\r\n\r\nGET /", uint8(200))
	f.Add("5\nhello\n0\n\n", uint8(1))
	f.Fuzz(func(t *testing.T, text string, piece uint8) {
		data, taken, c, err := decode(text, len(text)+1)
		data2, taken2, c2, err2 := decode(text, int(piece)+1)
		if (err == nil) != (err2 == nil) || err == nil && (taken != taken2 || c.Done() != c2.Done() || !bytes.Equal(data, data2)) {
			t.Fatalf("in whole %q, %d, %v; in pieces %q, %d, %v", data, taken, err, data2, taken2, err2)
		}
		if err != nil || !c.Done() {
			return
		}
		theirs, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(text)))
		if err != nil || !bytes.Equal(theirs, data) {
			t.Fatalf("%q read as %q, by net/http as %q, %v", text, data, theirs, err)
		}
	})
}
