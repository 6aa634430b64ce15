package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

const signatureScheme = "sha256="

// Sign is the value of X-Davit-Signature for a body sent with a value of
// X-Davit-Timestamp. The timestamp is signed so that an old delivery cannot be
// sent again as a new one.
func Sign(secret []byte, timestamp string, body []byte) string {
	return signatureScheme + hex.EncodeToString(digest(secret, timestamp, body))
}

// Verify is what a receiver does with a delivery's headers and the body as it
// came. How old a timestamp it accepts is its own decision.
func Verify(secret []byte, timestamp string, body []byte, signature string) error {
	if len(secret) == 0 {
		return errors.New("verify delivery: the secret is empty")
	}
	text, ok := strings.CutPrefix(signature, signatureScheme)
	if !ok {
		return errors.New("verify delivery: the signature is not of the form sha256=…")
	}
	got, err := hex.DecodeString(text)
	if err != nil || !hmac.Equal(got, digest(secret, timestamp, body)) {
		return errors.New("verify delivery: the signature does not match")
	}
	return nil
}

func digest(secret []byte, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(timestamp))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}
