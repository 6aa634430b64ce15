package traffic

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
)

// cookie ties a browser to a release and, as long as that serves, to a replica. It
// says so itself, signed: the edge keeps nothing, and one that was started again
// believes the cookies of the one before.
type cookie struct {
	// name differs between services: browsers send cookies to every port of a host.
	name string
	// key signs for one service, so that no other one's cookie counts.
	key []byte
}

// newCookie is that of a service, on any of its ports.
func newCookie(secret []byte, stack, service string) cookie {
	of := sha256.Sum256([]byte(stack + "\x00" + service))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("affinity cookie\x00"))
	mac.Write(of[:])
	return cookie{name: "davit-" + hex.EncodeToString(of[:4]), key: mac.Sum(nil)}
}

// macLength keeps half of the signature: 128 bits cannot be guessed.
const macLength = sha256.Size / 2

// set is the value of the Set-Cookie field that ties a client to s. It ends with the
// browser's session. A cookie that is secure is not sent without TLS again.
func (c cookie) set(s session, secure bool) string {
	text := strconv.FormatInt(s.release, 10) + "." + s.container
	value := c.name + "=" + text + "." + c.signature(text) + "; Path=/; HttpOnly; SameSite=Lax"
	if secure {
		value += "; Secure"
	}
	return value
}

// read finds the session in the value of a Cookie field; the zero session, when it
// says none that this service signed.
func (c cookie) read(field string) session {
	for part := range strings.SplitSeq(field, ";") {
		name, value, found := strings.Cut(strings.Trim(part, " \t"), "=")
		if !found || name != c.name {
			continue
		}
		if s, valid := c.verify(value); valid {
			return s
		}
	}
	return session{}
}

func (c cookie) verify(value string) (session, bool) {
	at := strings.LastIndexByte(value, '.')
	if at < 0 {
		return session{}, false
	}
	text := value[:at]
	// As text, since base64 has several for the same bytes.
	if !hmac.Equal([]byte(value[at+1:]), []byte(c.signature(text))) {
		return session{}, false
	}
	release, container, _ := strings.Cut(text, ".")
	number, err := strconv.ParseInt(release, 10, 64)
	return session{release: number, container: container}, err == nil
}

func (c cookie) signature(text string) string {
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:macLength])
}

// session is what a client is tied to that was answered under this lease.
func (l *lease) session() session {
	return session{release: l.replica.release, container: l.replica.identity.container}
}
