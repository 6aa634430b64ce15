package traffic

import (
	"bytes"
)

// Match is a request by what its client says of itself: a field of its head, or a cookie.
type Match struct {
	// Header is the name of the field, Cookie that of the cookie; one of them is "".
	Header string `json:"header,omitempty"`
	Cookie string `json:"cookie,omitempty"`
	// Value is what it says, "" for anything.
	Value string `json:"value,omitempty"`
}

// meets reports whether a field of a request is what is looked for. The names of fields
// are the same in any case, those of cookies are not.
func (m Match) meets(name, value []byte) bool {
	if m.Cookie == "" {
		return bytes.EqualFold(name, []byte(m.Header)) && (m.Value == "" || string(bytes.TrimSpace(value)) == m.Value)
	}
	if !bytes.EqualFold(name, []byte("Cookie")) {
		return false
	}
	for part := range bytes.SplitSeq(value, []byte(";")) {
		key, said, _ := bytes.Cut(bytes.Trim(part, " \t"), []byte("="))
		if string(key) == m.Cookie && (m.Value == "" || string(said) == m.Value) {
			return true
		}
	}
	return false
}
