// Package http1 reads the framing of HTTP/1.1 (RFC 9112) strictly: where a head ends,
// which fields it has, and where the body ends.
//
// It stands between two parties that may read a message differently, so it accepts
// only what can be read in one way: lines end in CRLF, a body has one length, names are
// names. What RFC 9112 leaves to the recipient's leniency is refused.
//
// A head is scanned once, as it comes in, and stays where it is: fields are offsets
// into the caller's buffer, so that nothing is allocated for a request.
package http1
