package http1

import "bytes"

// MaxHead is how long a head may be, in bytes, and maxFields how many fields it may
// have.
const (
	MaxHead   = 64 << 10
	maxFields = 256
)

// Field is one line of a head, as offsets.
type Field struct {
	// line is where it begins, next where the following line does.
	line, colon, value, end, next int32
	Name                          Name
	// Hop is true of what belongs to this connection, and is not passed on.
	Hop bool
}

// Head is the fields of a message, or its trailers.
type Head struct {
	buf []byte
	// line is where the line begins that comes next, seen how far an end of it was looked
	// for.
	line, seen int
	Fields     []Field
}

func (h *Head) reset() { *h = Head{Fields: h.Fields[:0]} }

// Line is a field as it was sent, with its end of line.
func (h *Head) Line(f *Field) []byte { return h.buf[f.line:f.next] }

// Label is a field's name as it was sent.
func (h *Head) Label(f *Field) []byte { return h.buf[f.line:f.colon] }

// Value is a field's value, without the white space around it.
func (h *Head) Value(f *Field) []byte { return h.buf[f.value:f.end] }

// Append adds to dst the fields that keep wants, as they were sent. Fields that belong
// to the connection are not asked about.
func (h *Head) Append(dst []byte, keep func(Name) bool) []byte {
	from, to := int32(0), int32(0) // what is to be copied: neighbours at once
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Hop || f.Name != Other && !keep(f.Name) {
			continue
		}
		if f.line != to {
			dst = append(dst, h.buf[from:to]...)
			from = f.line
		}
		to = f.next
	}
	return append(dst, h.buf[from:to]...)
}

// next takes a line off the buffer, without its CRLF. ok is false when it has not come
// yet.
func (h *Head) next() (line []byte, ok bool, err error) {
	at := bytes.IndexByte(h.buf[h.seen:], '\n')
	if at < 0 {
		h.seen = len(h.buf)
		return nil, false, nil
	}
	end := h.seen + at
	if end == h.line || h.buf[end-1] != '\r' {
		return nil, false, bad("a line does not end in CRLF")
	}
	line = h.buf[h.line : end-1]
	h.line, h.seen = end+1, end+1
	return line, true, nil
}

// fields scans the lines up to the empty one.
func (h *Head) fields() (done bool, err error) {
	for {
		start := h.line
		line, ok, err := h.next()
		if err != nil || !ok {
			return false, err
		}
		if len(line) == 0 {
			return true, nil
		}
		if len(h.Fields) == maxFields {
			return false, &Malformed{fieldsTooLarge, "there are too many fields"}
		}
		if err := h.field(line, int32(start)); err != nil {
			return false, err
		}
	}
}

// field scans one line. A name with white space before its colon, and a line that
// begins with white space, are read differently by different servers; since space is
// not in tokens, both end here.
func (h *Head) field(line []byte, start int32) error {
	colon := 0
	for colon < len(line) && tokens[line[colon]] {
		colon++
	}
	if colon == 0 || colon == len(line) || line[colon] != ':' {
		return bad("a field has no proper name")
	}
	value, end := colon+1, len(line)
	for value < end && (line[value] == ' ' || line[value] == '\t') {
		value++
	}
	for end > value && (line[end-1] == ' ' || line[end-1] == '\t') {
		end--
	}
	if !all(line[value:end], &values) {
		return bad("a field's value has control characters")
	}
	f := Field{line: start, colon: start + int32(colon), value: start + int32(value), end: start + int32(end),
		next: int32(h.line), Name: Named(line[:colon])}
	h.Fields = append(h.Fields, f)
	return nil
}

// drop marks the fields that Connection lists as being of this connection. Those on
// which the meaning of a message rests are not the sender's to drop.
func (h *Head) drop(token []byte) {
	for i := range h.Fields {
		f := &h.Fields[i]
		switch f.Name {
		case Host, ContentLength, ContentType, Cookie, ForwardedFor, ForwardedHost, ForwardedProto, Forwarded:
			continue
		}
		if label := h.Label(f); bytes.EqualFold(label, token) && !Is(label, "authorization") {
			f.Hop = true
		}
	}
}

// list calls each with the members of a comma-separated value (RFC 9110 section 5.6.1).
func list(value []byte, each func(token []byte)) {
	for len(value) > 0 {
		token, rest, _ := bytes.Cut(value, []byte{','})
		if token = bytes.Trim(token, " \t"); len(token) > 0 {
			each(token)
		}
		value = rest
	}
}
