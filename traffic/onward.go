package traffic

import (
	"davit/traffic/http1"
)

// onward writes to x.out the head of the request as the replica is to have it.
func (t *talk) onward() {
	x, r := t.x, &t.x.request
	out := append(x.out[:0], r.Method()...)
	out = append(out, ' ')
	out = append(out, r.Target()...)
	out = append(out, " HTTP/1.1\r\n"...)
	if len(r.Host()) == 0 && r.Minor == 0 {
		out = append(out, "Host: "...)
		out = t.client.destination.AppendTo(out)
		out = append(out, "\r\n"...)
	}
	if t.client.trusted {
		out = r.Append(out, keptOfTrusted)
	} else {
		out = r.Append(out, keptOfAnybody)
	}
	x.out = t.hop(t.vouch(out))
}

// keptOfAnybody are the fields that are passed on as they are: not those that the edge
// vouches for.
func keptOfAnybody(n http1.Name) bool { return n != http1.Forwarded && keptOfTrusted(n) }

func keptOfTrusted(n http1.Name) bool {
	return n != http1.ForwardedFor && n != http1.ForwardedHost && n != http1.ForwardedProto
}

// vouch appends where the request came from.
func (t *talk) vouch(out []byte) []byte {
	r := &t.x.request
	var had forwarded
	if t.client.trusted {
		had = had.of(r)
	}
	on := had.onward(t.client.trusted, t.peer, string(r.Host()))
	out = append(append(append(out, "X-Forwarded-For: "...), on.client...), "\r\n"...)
	out = append(append(append(out, "X-Forwarded-Proto: "...), on.proto...), "\r\n"...)
	return append(append(append(out, "X-Forwarded-Host: "...), on.host...), "\r\n"...)
}

// of is what the request says about where it came from. Of a list in several fields,
// the order is that of the fields.
func (had forwarded) of(r *http1.Request) forwarded {
	for i := range r.Fields {
		f := &r.Fields[i]
		if f.Hop {
			continue
		}
		switch value := string(r.Value(f)); f.Name {
		case http1.ForwardedFor:
			if had.client != "" && value != "" {
				had.client += ", "
			}
			had.client += value
		case http1.ForwardedProto:
			had.proto = value
		case http1.ForwardedHost:
			had.host = value
		}
	}
	return had
}

// hop appends what holds between the edge and the replica, and the end of the head.
func (t *talk) hop(out []byte) []byte {
	r := &t.x.request
	if r.Body == http1.Chunked {
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case len(r.Protocol()) > 0:
		out = append(out, "Connection: upgrade\r\nUpgrade: "...)
		out = append(append(out, r.Protocol()...), "\r\n"...)
	case r.Trailers:
		out = append(out, "Connection: te\r\nTE: trailers\r\n"...)
	}
	return append(out, "\r\n"...)
}
