package mix

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
)

// errMangled is why something counts as failed that came: it is not what should have.
var errMangled = errors.New("mangled")

// noise is bytes of which no two ranges are alike.
func noise(length int) []byte {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	out := make([]byte, length)
	rand.NewChaCha8(seed).Read(out) // never fails
	return out
}

// someLength is that of a message: mostly of a few hundred bytes, at times of many
// times what is read at once.
func someLength() int { return 1 + rand.N(1<<rand.N(18)) }

// differ says how what came differs from what was sent.
func differ(came, sent []byte) error {
	at := 0
	for at < min(len(came), len(sent)) && came[at] == sent[at] {
		at++
	}
	where := ""
	if i := bytes.Index(sent, came[at:min(len(came), at+16)]); len(came) > at && i >= 0 {
		where = fmt.Sprintf(", where it continues with what was sent as byte %d", i)
	}
	return fmt.Errorf("%w: %d bytes came back of %d, the same up to byte %d%s", errMangled, len(came), len(sent), at, where)
}
