package http1

import (
	"errors"
	"testing"
)

func parseResponse(text string, asked Asked) (*Response, int, error) {
	r := new(Response)
	r.Reset()
	n, err := r.Parse([]byte(text), asked)
	return r, n, err
}

func TestTheEndOfAResponseIsWhereTheRequestAndTheHeadSayIt(t *testing.T) {
	for name, c := range map[string]struct {
		head   string
		asked  Asked
		status int
		body   Body
		keeps  bool
	}{
		"with a length":                   {lines("HTTP/1.1 200 OK", "Content-Length: 5"), Asked{}, 200, Sized, true},
		"with a length of nothing":        {lines("HTTP/1.1 200 OK", "Content-Length: 0"), Asked{}, 200, NoBody, true},
		"without a length":                {lines("HTTP/1.1 200 OK"), Asked{}, 200, UntilClose, false},
		"in chunks":                       {lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), Asked{}, 200, Chunked, true},
		"without reason":                  {lines("HTTP/1.1 404", "Content-Length: 5"), Asked{}, 404, Sized, true},
		"with an empty reason":            {lines("HTTP/1.1 404 ", "Content-Length: 5"), Asked{}, 404, Sized, true},
		"of HEAD":                         {lines("HTTP/1.1 200 OK", "Content-Length: 5"), Asked{Head: true}, 200, NoBody, true},
		"of HEAD, in chunks":              {lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), Asked{Head: true}, 200, NoBody, true},
		"nothing":                         {lines("HTTP/1.1 204 No Content"), Asked{}, 204, NoBody, true},
		"not modified":                    {lines("HTTP/1.1 304 Not Modified", "Content-Length: 5"), Asked{}, 304, NoBody, true},
		"to be continued":                 {lines("HTTP/1.1 100 Continue"), Asked{}, 100, NoBody, true},
		"switched":                        {lines("HTTP/1.1 101 Switching Protocols", "Upgrade: a"), Asked{Upgrade: true}, 101, NoBody, true},
		"in the old version":              {lines("HTTP/1.0 200 OK", "Content-Length: 5"), Asked{}, 200, Sized, false},
		"in the old version, that stays":  {lines("HTTP/1.0 200 OK", "Content-Length: 5", "Connection: keep-alive"), Asked{}, 200, Sized, true},
		"with a length, and then it ends": {lines("HTTP/1.1 200 OK", "Content-Length: 5", "Connection: close"), Asked{}, 200, Sized, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, n, err := parseResponse(c.head+"12345", c.asked)
			if err != nil || n != len(c.head) || r.Status != c.status || r.Body != c.body || r.KeepsAlive() != c.keeps {
				t.Errorf("%d of %d bytes, status %d, body %s, keeps %v: %v", n, len(c.head), r.Status, r.Body, r.KeepsAlive(), err)
			}
		})
	}
}

func TestResponsesThatCanBeReadInTwoWaysAreRefused(t *testing.T) {
	for name, head := range map[string]string{
		"length and coding":     lines("HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"),
		"two lengths":           lines("HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 6"),
		"another coding":        lines("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked"),
		"coding in 1.0":         lines("HTTP/1.0 200 OK", "Transfer-Encoding: chunked"),
		"a body in 204":         lines("HTTP/1.1 204 No Content", "Content-Length: 5"),
		"chunks in 204":         lines("HTTP/1.1 204 No Content", "Transfer-Encoding: chunked"),
		"a body in 103":         lines("HTTP/1.1 103 Early Hints", "Content-Length: 5"),
		"an unasked switch":     lines("HTTP/1.1 101 Switching Protocols", "Upgrade: a"),
		"a folded line":         lines("HTTP/1.1 200 OK", "X: a", " b"),
		"a line that ends LF":   "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n",
		"another protocol":      "SSH-2.0-OpenSSH_9.2\r\n",
		"a status of words":     lines("HTTP/1.1 two hundred"),
		"a status too long":     lines("HTTP/1.1 2000 OK"),
		"a status of nobody":    lines("HTTP/1.1 099 OK"),
		"another version":       lines("HTTP/2.0 200 OK"),
		"a NUL in the reason":   lines("HTTP/1.1 200 O\x00K"),
		"a space in front of :": lines("HTTP/1.1 200 OK", "Content-Length : 5"),
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := parseResponse(head, Asked{})
			var m *Malformed
			if !errors.As(err, &m) || n != 0 {
				t.Errorf("%d bytes taken, %v", n, err)
			}
		})
	}
}

func TestServerSentEventsAreSeen(t *testing.T) {
	for value, want := range map[string]bool{"text/event-stream": true, "Text/Event-Stream ; charset=utf-8": true, "text/html": false} {
		r, _, err := parseResponse(lines("HTTP/1.1 200 OK", "Content-Type: "+value), Asked{})
		if err != nil || r.Events != want {
			t.Errorf("%s: %v, %v", value, r.Events, err)
		}
	}
}

// FuzzResponse holds a response that comes in pieces against the same one in whole.
func FuzzResponse(f *testing.F) {
	f.Add(lines("HTTP/1.1 200 OK", "Content-Length: 5", "Connection: x", "X: y")+"12345", uint(3), false)
	f.Add(lines("HTTP/1.0 304", "Transfer-Encoding: chunked", "Content-Type: text/event-stream"), uint(9), true)
	f.Fuzz(func(t *testing.T, text string, cut uint, asked bool) {
		a := Asked{Head: asked, Upgrade: asked}
		whole, n, err := parseResponse(text, a)
		pieces := new(Response)
		pieces.Reset()
		m, err2 := pieces.Parse([]byte(text)[:int(cut%uint(len(text)+1))], a)
		if m == 0 && err2 == nil {
			m, err2 = pieces.Parse([]byte(text), a)
		}
		if n != m || (err == nil) != (err2 == nil) {
			t.Fatalf("in whole %d, %v; in pieces %d, %v", n, err, m, err2)
		}
		if n > 0 && (whole.Status < 100 || whole.Status > 599 || whole.Body == Sized && whole.Length <= 0) {
			t.Fatalf("status %d, body %s of %d", whole.Status, whole.Body, whole.Length)
		}
	})
}
