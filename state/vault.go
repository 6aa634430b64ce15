package state

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// maxProject bounds, in bytes, what a sealed project may unfold to.
const maxProject = 64 << 20

// vault seals rendered projects, which hold environment values.
//
// AES-256-GCM from the standard library, with a key derived from the host key:
// there is one party and one key, so age's recipients and its passphrase
// stretching would add a format and no protection. Nonces are random, which is
// safe for far more than the thousands of projects that a host will ever see.
type vault struct {
	aead cipher.AEAD
	name []byte // key of the content's name
}

func newVault(hostKey []byte) (*vault, error) {
	seal, err := hkdf.Key(sha256.New, hostKey, nil, "davit state: seal projects v1", 32)
	if err != nil {
		return nil, err
	}
	name, err := hkdf.Key(sha256.New, hostKey, nil, "davit state: name projects v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &vault{aead: aead, name: name}, nil
}

// seal encrypts plain and names it. The name is a keyed hash: a plain one would
// let whoever has the file confirm a guessed password.
func (v *vault) seal(plain []byte) (id string, sealed []byte, err error) {
	if len(plain) > maxProject {
		return "", nil, fmt.Errorf("seal project: larger than %d bytes", maxProject)
	}
	mac := hmac.New(sha256.New, v.name)
	mac.Write(plain)
	id = hex.EncodeToString(mac.Sum(nil))

	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.DefaultCompression)
	if err != nil {
		return "", nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return "", nil, err
	}
	if err := w.Close(); err != nil {
		return "", nil, err
	}
	return id, v.aead.Seal(nil, nil, packed.Bytes(), []byte(id)), nil
}

// unseal is the inverse of seal. The id is authenticated with the content.
func (v *vault) unseal(id string, sealed []byte) ([]byte, error) {
	packed, err := v.aead.Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return nil, errors.New("unseal project: wrong host key or damaged record")
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxProject+1))
	if err != nil {
		return nil, fmt.Errorf("unseal project: %w", err)
	}
	if len(plain) > maxProject {
		return nil, errors.New("unseal project: too large")
	}
	return plain, nil
}
