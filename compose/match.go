package compose

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Match is a request by what its client says of itself: a field of its head, or a cookie.
type Match struct {
	// Header is the name of the field, Cookie that of the cookie; one of them is "".
	Header, Cookie string
	// Value is what it says, "" for anything.
	Value string
}

// String is "header X-Canary: on" or "cookie canary=on".
func (m Match) String() string {
	text, sign := "header "+m.Header, ": "
	if m.Cookie != "" {
		text, sign = "cookie "+m.Cookie, "="
	}
	if m.Value != "" {
		text += sign + m.Value
	}
	return text
}

// matchName is a token of RFC 9110, section 5.6.2, which names of fields and of cookies
// both are.
var matchName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

// maxMatches is more than a canary has testers of one kind.
const maxMatches = 16

// matches accepts a list such as [{header: X-Canary, value: "on"}, {cookie: canary}].
func matches(into *[]Match) setter {
	return func(v any) []keyError {
		list, ok := v.([]any)
		if !ok || len(list) == 0 || len(list) > maxMatches {
			return wrong("must be a list of 1 to %d such as {header: X-Canary, value: \"on\"}", maxMatches)
		}
		var out []Match
		var errs []keyError
		for i, entry := range list {
			var m Match
			wrongs := decodeBlock(entry, nil, map[string]setter{
				"header": token(&m.Header), "cookie": token(&m.Cookie), "value": fieldValue(&m.Value),
			})
			if len(wrongs) == 0 && (m.Header == "") == (m.Cookie == "") {
				wrongs = wrong("needs a header or a cookie, and not both")
			}
			for _, e := range wrongs {
				errs = append(errs, keyError{strings.TrimSuffix(fmt.Sprintf("[%d].%s", i, e.key), "."), e.err})
			}
			out = append(out, m)
		}
		*into = out
		return errs
	}
}

// token accepts the name of a field or a cookie.
func token(into *string) setter {
	return func(v any) []keyError {
		name, ok := v.(string)
		switch {
		case !ok || !matchName.MatchString(name):
			return wrong("must be a name such as X-Canary, not %q", fmt.Sprint(v))
		case framing(name):
			return []keyError{{err: errors.New("is a field that no client tells itself by: take one of its own, or a cookie")}}
		}
		*into = name
		return nil
	}
}

// framing reports whether a field says where a message goes or ends, and nothing of who
// sent it.
func framing(name string) bool {
	switch strings.ToLower(name) {
	case "connection", "content-length", "cookie", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// fieldValue accepts what a field or a cookie may say, without the space around it.
func fieldValue(into *string) setter {
	return func(v any) []keyError {
		text := fmt.Sprint(v)
		if v == nil || text == "" || text != strings.TrimSpace(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return wrong("must be the text that it has to be, without space around it; leave it out for any")
		}
		*into = text
		return nil
	}
}
