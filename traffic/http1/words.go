package http1

// Name is a field's name, as far as it matters here.
type Name uint8

const (
	Other Name = iota
	Connection
	ContentLength
	ContentType
	Cookie
	Expect
	Host
	HTTP2Settings
	KeepAlive
	ProxyConnection
	TE
	Trailer
	TransferEncoding
	Upgrade
	// ForwardedFor, ForwardedHost and ForwardedProto are X-Forwarded-*; Forwarded is
	// whatever else says where a request came from: Forwarded itself, X-Real-IP, and
	// other names that begin with X-Forwarded-.
	ForwardedFor
	ForwardedHost
	ForwardedProto
	Forwarded
	// Disguised is one of the names above with underscores in the place of hyphens, which
	// many servers take for the name itself.
	Disguised
)

// known are the names by length.
var known = [...][]struct {
	text string
	name Name
}{
	2:  {{"te", TE}},
	4:  {{"host", Host}},
	6:  {{"cookie", Cookie}, {"expect", Expect}},
	7:  {{"upgrade", Upgrade}, {"trailer", Trailer}},
	9:  {{"forwarded", Forwarded}, {"x-real-ip", Forwarded}},
	10: {{"connection", Connection}, {"keep-alive", KeepAlive}},
	12: {{"content-type", ContentType}},
	14: {{"content-length", ContentLength}, {"http2-settings", HTTP2Settings}},
	15: {{"x-forwarded-for", ForwardedFor}},
	16: {{"x-forwarded-host", ForwardedHost}, {"proxy-connection", ProxyConnection}},
	17: {{"x-forwarded-proto", ForwardedProto}, {"transfer-encoding", TransferEncoding}},
}

const forwardedPrefix = "x-forwarded-"

// Named finds out which name text is.
func Named(text []byte) Name {
	name := Other
	if len(text) < len(known) {
		for _, k := range known[len(text)] {
			if alike(text, k.text) {
				name = k.name
				break
			}
		}
	}
	if name == Other && len(text) > len(forwardedPrefix) && alike(text[:len(forwardedPrefix)], forwardedPrefix) {
		name = Forwarded
	}
	if name != Other && underscored(text) {
		return Disguised
	}
	return name
}

// alike compares without regard to case, and takes an underscore for a hyphen.
func alike(text []byte, lower string) bool {
	for i, c := range text {
		if fold[c] != lower[i] {
			return false
		}
	}
	return true
}

// Is reports whether text is the word lower, without regard to case.
func Is(text []byte, lower string) bool {
	return len(text) == len(lower) && alike(text, lower) && !underscored(text)
}

func underscored(text []byte) bool {
	for _, c := range text {
		if c == '_' {
			return true
		}
	}
	return false
}

// Of bytes: whether a token (RFC 9110 section 5.6.2), a field's value, a request's
// target and a Host may have it, and its lower case with "_" made "-".
var (
	tokens  = class(func(c byte) bool { return alphanumeric(c) || among(c, "!#$%&'*+-.^_`|~") })
	values  = class(func(c byte) bool { return c == '\t' || c >= ' ' && c != 0x7f })
	targets = class(func(c byte) bool { return c > ' ' && c < 0x7f && c != '#' })
	hosts   = class(func(c byte) bool { return alphanumeric(c) || among(c, "-._~!$&'()*+,;=%:[]") })
	fold    = folded()
)

func class(has func(byte) bool) (c [256]bool) {
	for i := range c {
		c[i] = has(byte(i))
	}
	return c
}

func folded() (f [256]byte) {
	for i := range f {
		c := byte(i)
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c == '_':
			c = '-'
		}
		f[i] = c
	}
	return f
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func among(c byte, set string) bool {
	for i := range len(set) {
		if set[i] == c {
			return true
		}
	}
	return false
}

// all reports whether every byte of text is of the class.
func all(text []byte, c *[256]bool) bool {
	for _, b := range text {
		if !c[b] {
			return false
		}
	}
	return true
}
