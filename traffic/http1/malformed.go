package http1

// Malformed is why a message is not accepted.
type Malformed struct {
	// Status is what to answer a client that sent it; from a server it is 502 whatever
	// this says.
	Status int
	Reason string
}

func (m *Malformed) Error() string { return m.Reason }

const (
	badRequest      = 400
	uriTooLong      = 414
	expectation     = 417
	fieldsTooLarge  = 431
	notImplemented  = 501
	versionNotKnown = 505
)

func bad(reason string) error { return &Malformed{badRequest, reason} }
