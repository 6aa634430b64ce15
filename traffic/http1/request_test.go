package http1

import (
	"errors"
	"strings"
	"testing"
)

// lines makes a head of lines.
func lines(l ...string) string { return strings.Join(l, "\r\n") + "\r\n\r\n" }

func parseRequest(text string) (*Request, int, error) {
	r := new(Request)
	r.Reset()
	n, err := r.Parse([]byte(text))
	return r, n, err
}

func TestRequestsThatCanBeReadInOneWayAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		head   string
		body   Body
		length int64
		keeps  bool
	}{
		"a plain one":                     {lines("GET / HTTP/1.1", "Host: a"), NoBody, -1, true},
		"an empty line comes first":       {"\r\n" + lines("GET / HTTP/1.1", "Host: a"), NoBody, -1, true},
		"the host is empty":               {lines("GET / HTTP/1.1", "Host:"), NoBody, -1, true},
		"it closes":                       {lines("GET / HTTP/1.1", "Host: a", "Connection: foo, CLOSE"), NoBody, -1, false},
		"the old version":                 {lines("GET / HTTP/1.0"), NoBody, -1, false},
		"the old version that stays":      {lines("GET / HTTP/1.0", "Connection: Keep-Alive"), NoBody, -1, true},
		"a body with a length":            {lines("POST /a?b=[c] HTTP/1.1", "Host: a:80", "content-length:  12\t"), Sized, 12, true},
		"a body without length":           {lines("POST / HTTP/1.1", "Host: [::1]:80", "Transfer-Encoding: Chunked"), Chunked, -1, true},
		"an empty body":                   {lines("POST / HTTP/1.1", "Host: a", "Content-Length: 0"), NoBody, 0, true},
		"the target names the host too":   {lines("GET http://A.b:8/x HTTP/1.1", "Host: a.B:8"), NoBody, -1, true},
		"the options of the whole server": {lines("OPTIONS * HTTP/1.1", "Host: a"), NoBody, -1, true},
		"a value of other bytes":          {lines("GET / HTTP/1.1", "Host: a", "X: \xff\tb"), NoBody, -1, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, more := range []string{"", "GET /next HTTP/1.1\r\n"} {
				r, n, err := parseRequest(c.head + more)
				if err != nil || n != len(c.head) || r.Body != c.body || r.Length != c.length || r.KeepsAlive() != c.keeps {
					t.Errorf("%d of %d bytes, body %s of %d, keeps %v: %v", n, len(c.head), r.Body, r.Length, r.KeepsAlive(), err)
				}
			}
		})
	}
}

func TestRequestsThatCanBeReadInTwoWaysAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		head   string
		status int
	}{
		"length and coding":                  {lines("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "Transfer-Encoding: chunked"), 400},
		"coding and length":                  {lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Content-Length: 5"), 400},
		"coding and a length of nothing":     {lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Content-Length: 0"), 400},
		"two lengths":                        {lines("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "Content-Length: 6"), 400},
		"two lengths that agree":             {lines("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "Content-Length: 5"), 400},
		"a list of lengths":                  {lines("POST / HTTP/1.1", "Host: a", "Content-Length: 5, 5"), 400},
		"a length with a sign":               {lines("POST / HTTP/1.1", "Host: a", "Content-Length: +5"), 400},
		"a negative length":                  {lines("POST / HTTP/1.1", "Host: a", "Content-Length: -5"), 400},
		"an empty length":                    {lines("POST / HTTP/1.1", "Host: a", "Content-Length:"), 400},
		"a hexadecimal length":               {lines("POST / HTTP/1.1", "Host: a", "Content-Length: 0x5"), 400},
		"a length beyond all numbers":        {lines("POST / HTTP/1.1", "Host: a", "Content-Length: 9999999999999999999"), 400},
		"two codings":                        {lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: gzip, chunked"), 501},
		"a coding that is none":              {lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: identity"), 501},
		"a coding twice":                     {lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 501},
		"a coding with a tail":               {lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked;q=1"), 501},
		"a coding behind a vertical tab":     {lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: \vchunked"), 400},
		"a coding in the old version":        {lines("POST / HTTP/1.0", "Transfer-Encoding: chunked"), 400},
		"a space before the colon":           {lines("POST / HTTP/1.1", "Host: a", "Content-Length : 5"), 400},
		"a name with a space":                {lines("POST / HTTP/1.1", "Host: a", "Content Length: 5"), 400},
		"a name that is empty":               {lines("GET / HTTP/1.1", "Host: a", ": 5"), 400},
		"a line without colon":               {lines("GET / HTTP/1.1", "Host: a", "abc"), 400},
		"a folded line":                      {lines("GET / HTTP/1.1", "Host: a", "X: b", " c"), 400},
		"a folded first line":                {lines("GET / HTTP/1.1", " Host: a"), 400},
		"a line that ends in LF":             {"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
		"a request line that ends in LF":     {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
		"an end of LF":                       {"GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
		"a lone CR in a value":               {lines("GET / HTTP/1.1", "Host: a", "X: b\rY: c"), 400},
		"a NUL in a value":                   {lines("GET / HTTP/1.1", "Host: a", "X: b\x00c"), 400},
		"no host":                            {lines("GET / HTTP/1.1"), 400},
		"two hosts":                          {lines("GET / HTTP/1.1", "Host: a", "Host: a"), 400},
		"two hosts in the old version":       {lines("GET / HTTP/1.0", "Host: a", "Host: b"), 400},
		"a host that is a path":              {lines("GET / HTTP/1.1", "Host: a/b"), 400},
		"a host with a user":                 {lines("GET / HTTP/1.1", "Host: a@b"), 400},
		"the target names another host":      {lines("GET http://b/ HTTP/1.1", "Host: a"), 400},
		"a target without slash":             {lines("GET a HTTP/1.1", "Host: a"), 400},
		"a target with a control character":  {lines("GET /\x01 HTTP/1.1", "Host: a"), 400},
		"a target with a fragment":           {lines("GET /#a HTTP/1.1", "Host: a"), 400},
		"a target with a space":              {lines("GET /a b HTTP/1.1", "Host: a"), 400},
		"two spaces":                         {lines("GET  / HTTP/1.1", "Host: a"), 400},
		"a tab":                              {lines("GET\t/ HTTP/1.1", "Host: a"), 400},
		"a space after the version":          {lines("GET / HTTP/1.1 ", "Host: a"), 400},
		"no version":                         {lines("GET /", "Host: a"), 400},
		"a version in lower case":            {lines("GET / http/1.1", "Host: a"), 400},
		"a version to come":                  {lines("GET / HTTP/1.2", "Host: a"), 505},
		"the next version":                   {lines("GET / HTTP/2.0", "Host: a"), 505},
		"two empty lines first":              {"\r\n\r\n" + lines("GET / HTTP/1.1", "Host: a"), 400},
		"a tunnel":                           {lines("CONNECT a:80 HTTP/1.1", "Host: a:80"), 501},
		"an expectation that nobody has":     {lines("GET / HTTP/1.1", "Host: a", "Expect: a miracle"), 417},
		"a head without end":                 {"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", MaxHead), 431},
		"a target without end":               {"GET /" + strings.Repeat("a", MaxHead), 414},
		"fields without end":                 {lines("GET / HTTP/1.1", "Host: a"+strings.Repeat("\r\nX: b", maxFields)), 431},
		"options without end":                {lines("GET / HTTP/1.1", "Host: a", "Connection: "+strings.Repeat("a,", maxOptions), "Connection: close"), 400},
		"the first words of TLS":             {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 400},
		"the version is followed by another": {lines("GET / HTTP/1.1 HTTP/1.1", "Host: a"), 400},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := parseRequest(c.head)
			var m *Malformed
			if !errors.As(err, &m) || m.Status != c.status || n != 0 {
				t.Errorf("%d bytes taken, %+v, not %d", n, err, c.status)
			}
		})
	}
}

func TestWhatBelongsToOneConnectionIsNotPassedOn(t *testing.T) {
	r, _, err := parseRequest(lines("GET / HTTP/1.1", "X-First: 1", "Host: a", "Connection: close, X-Mine, Host, Authorization, X-Forwarded-For",
		"Keep-Alive: 5", "X-mine: gone", "Authorization: stays", "Proxy-Connection: a", "X-Between: 2", "X-Also: 3",
		"Upgrade: h2c", "HTTP2-Settings: a", "TE: trailers", "Cookie: stays", "X-Forwarded-For: asked", "X_Forwarded_For: gone",
		"Content_Length: 5", "X-Forwarded-Port: asked"))
	if err != nil {
		t.Fatal(err)
	}
	got := string(r.Append(nil, func(n Name) bool { return n == Host || n == Cookie }))
	want := "X-First: 1\r\nHost: a\r\nAuthorization: stays\r\nX-Between: 2\r\nX-Also: 3\r\nCookie: stays\r\n"
	if got != want {
		t.Errorf("passed on:\n%s\nnot:\n%s", got, want)
	}
	if !r.Trailers || len(r.Protocol()) != 0 {
		t.Errorf("trailers %v, protocol %q", r.Trailers, r.Protocol())
	}
}

func TestAnEmptyHostOfTheOldVersionIsNone(t *testing.T) {
	r, _, err := parseRequest(lines("GET / HTTP/1.0", "Host:", "X-First: 1"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Append(nil, func(n Name) bool { return n == Host })); got != "X-First: 1\r\n" {
		t.Errorf("beside the one that the edge adds, there is %q", got)
	}
}

func TestAnUpgradeIsOneOnlyWhereThereCanBeOne(t *testing.T) {
	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket"
	for name, c := range map[string]struct{ head, protocol string }{
		"asked for":              {lines("GET / HTTP/1.1", "Host: a", upgrade), "websocket"},
		"not named":              {lines("GET / HTTP/1.1", "Host: a", "Upgrade: websocket"), ""},
		"with a body":            {lines("GET / HTTP/1.1", "Host: a", "Content-Length: 3", upgrade), ""},
		"in the old version":     {lines("GET / HTTP/1.0", "Host: a", upgrade), ""},
		"to HTTP/2":              {lines("GET / HTTP/1.1", "Host: a", "Connection: upgrade", "Upgrade: H2C"), ""},
		"to HTTP/2 or something": {lines("GET / HTTP/1.1", "Host: a", "Connection: upgrade", "Upgrade: x, h2c"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, err := parseRequest(c.head)
			if err != nil || string(r.Protocol()) != c.protocol {
				t.Errorf("%q, %v", r.Protocol(), err)
			}
		})
	}
}

// FuzzRequest holds a request that comes in pieces against the same one in whole, and
// what is passed on against the parser itself: it must read as the same request.
func FuzzRequest(f *testing.F) {
	f.Add(lines("POST /a HTTP/1.1", "Host: a", "Content-Length: 5", "Connection: x", "X: y")+"12345", uint(3))
	f.Add("\r\n"+lines("GET http://a/ HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "TE: trailers"), uint(1))
	f.Add(lines("GET / HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: upgrade"), uint(40))
	f.Add("GET / HTTP/1.1\nHost: a\r\n\r\n", uint(15))
	f.Fuzz(func(t *testing.T, text string, cut uint) {
		whole, n, err := parseRequest(text)
		pieces := new(Request)
		pieces.Reset()
		m, err2 := pieces.Parse([]byte(text)[:int(cut%uint(len(text)+1))])
		if m == 0 && err2 == nil {
			m, err2 = pieces.Parse([]byte(text))
		}
		if n != m || (err == nil) != (err2 == nil) {
			t.Fatalf("in whole %d, %v; in pieces %d, %v", n, err, m, err2)
		}
		if err != nil || n == 0 {
			return
		}
		passed := string(whole.Method()) + " " + string(whole.Target()) + " HTTP/1.1\r\n" +
			string(whole.Append(nil, func(Name) bool { return true }))
		if whole.Body == Chunked {
			passed += "Transfer-Encoding: chunked\r\n"
		}
		if whole.Minor == 0 && len(whole.Host()) == 0 {
			return
		}
		again, k, err := parseRequest(passed + "\r\n")
		if err != nil || k != len(passed)+2 || again.Body != whole.Body || again.Length != whole.Length ||
			string(again.Host()) != string(whole.Host()) || strings.ContainsAny(passed, "\x00") {
			t.Fatalf("%q is passed on as %q: %v", text, passed, err)
		}
	})
}
