package state

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"davit/reconcile"
)

// The size of the host key in bytes.
const keySize = 32

var instanceForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// HostKey returns the secret key of this data directory, 32 bytes, and makes it on
// first use. It is not in the database: losing one must not lose the other.
func HostKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, "host.key")
	text, err := createOnce(path, randomHex(keySize))
	if err != nil {
		return nil, fmt.Errorf("host key: %w", diskFull(dir, err))
	}
	return parseKey(path, text)
}

func parseKey(path string, text []byte) ([]byte, error) {
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err == nil && len(key) != keySize {
		err = fmt.Errorf("%d bytes instead of %d", len(key), keySize)
	}
	if err != nil {
		// hex's own error quotes a byte of the key.
		return nil, reconcile.WithHint(fmt.Errorf("host key %s is damaged: %w", path, withoutByte(err)),
			"restore it from a backup; if there is none, remove it: a new one is made, "+
				"and releases recorded so far cannot be restored offline")
	}
	return key, nil
}

func withoutByte(err error) error {
	var invalid hex.InvalidByteError
	if errors.As(err, &invalid) {
		return errors.New("not hexadecimal")
	}
	return err
}

// Instance returns the identity of the davit that owns the data directory, and
// makes it on first use. Containers carry it in a label. It is not in the
// database, so that a lost database does not make every container a stranger's.
func Instance(dir string) (string, error) {
	path := filepath.Join(dir, "instance")
	text, err := createOnce(path, randomHex(8))
	if err != nil {
		return "", fmt.Errorf("instance: %w", diskFull(dir, err))
	}
	id := strings.TrimSpace(string(text))
	if !instanceForm.MatchString(id) {
		return "", reconcile.WithHint(fmt.Errorf("instance %s is damaged: %q is not an identity", path, id),
			"write the value of the davit.instance label of this host's containers into it")
	}
	return id, nil
}

func randomHex(bytes int) []byte {
	b := make([]byte, bytes)
	rand.Read(b) // it cannot fail: crypto/rand ends the program instead
	return append(hex.AppendEncode(nil, b), '\n')
}
