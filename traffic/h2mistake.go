package traffic

import (
	"net/http"
	"strconv"
	"strings"
)

// h2mistake says what is wrong with a request that HTTP/2 can frame and that would be
// another one, or several, in HTTP/1: RFC 9113, 8.3.1. Fields net/http has looked at.
func h2mistake(r *http.Request) string {
	switch {
	case strings.ContainsFunc(r.Method, func(c rune) bool { return !isTokenRune(c) }):
		return "its method is no token"
	case strings.ContainsFunc(r.RequestURI, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return "there is space in its path"
	case !strings.HasPrefix(r.RequestURI, "/") && (r.RequestURI != "*" || r.Method != http.MethodOptions):
		return "its path is none"
	case strings.ContainsFunc(r.Host, func(c rune) bool { return !isHostRune(c) }):
		return "its host is none"
	}
	for _, length := range r.Header["Content-Length"] {
		if n, err := strconv.ParseUint(length, 10, 63); err != nil || length != r.Header.Get("Content-Length") || int64(n) != max(r.ContentLength, 0) {
			return "its length is none"
		}
	}
	return ""
}

func isTokenRune(c rune) bool {
	return isLetterOrDigit(c) || c < 0x80 && strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}

// isHostRune reports whether c may be in a host with a port: a name, or an address.
func isHostRune(c rune) bool {
	return isLetterOrDigit(c) || c < 0x80 && strings.ContainsRune("-._~!$&'()*+,;=%[]:", c)
}

func isLetterOrDigit(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
