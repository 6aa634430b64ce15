package compose

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A file that SOPS has encrypted holds its data key, encrypted for each recipient,
// and each value encrypted with the data key. SOPS's own library brings the
// clients of five clouds along; see docs/adr/0007. The two kinds of file that
// Compose mounts or reads are read here: dotenv and binary.

// sopsValue is an encrypted value as SOPS writes it.
var sopsValue = regexp.MustCompile(`^ENC\[AES256_GCM,data:([^,]*),iv:([^,]+),tag:([^,]+),type:([a-z]+)\]$`)

var (
	sopsMark = []byte("ENC[AES256_GCM,")
	sopsEnv  = regexp.MustCompile(`(?m)^sops_mac=`)
	sopsYAML = regexp.MustCompile(`(?m)^sops:\s*$`)
)

var errSOPSKind = errors.New("is encrypted by SOPS in a form whose values stand alone: encrypt it with --input-type binary, or dotenv for variables")

// madeBySOPS reports whether data is a file that SOPS has encrypted.
func madeBySOPS(data []byte) bool {
	if !bytes.Contains(data, sopsMark) {
		return false
	}
	return sopsEnv.Match(data) || sopsYAML.Match(data) || sopsJSON(data) != nil
}

// sopsDocument is what of a file in JSON belongs to SOPS.
type sopsDocument struct {
	Data json.RawMessage
	SOPS *struct {
		Age []struct {
			Enc string
		}
		LastModified     string
		MAC              string
		MACOnlyEncrypted bool `json:"mac_only_encrypted"`
	}
}

func sopsJSON(data []byte) *sopsDocument {
	var d sopsDocument
	if json.Unmarshal(data, &d) != nil || d.SOPS == nil {
		return nil
	}
	return &d
}

// sopsFile is an encrypted file, taken apart.
type sopsFile struct {
	// lines are the values in order; comments have no name.
	lines []sopsLine
	// keys are the data key, encrypted for each age recipient.
	keys          []string
	modified, mac string
	// onlyEncrypted leaves values that are not encrypted out of the mac.
	onlyEncrypted bool
	binary        bool
}

type sopsLine struct{ name, value string }

// openSOPS decrypts data. No error quotes what was read.
func (s Secrets) openSOPS(data []byte) ([]byte, error) {
	f, err := parseSOPS(data)
	if err != nil {
		return nil, err
	}
	if len(f.keys) == 0 {
		return nil, errors.New("is encrypted by SOPS for no age recipient")
	}
	refused := errDamaged
	for _, k := range f.keys {
		key, err := s.openAge([]byte(k))
		if err != nil {
			refused = err
			continue
		}
		return f.decrypt(key)
	}
	return nil, refused
}

func parseSOPS(data []byte) (*sopsFile, error) {
	if sopsEnv.Match(data) {
		return parseSOPSEnv(data), nil
	}
	d := sopsJSON(data)
	var value string
	var members map[string]json.RawMessage
	if d == nil || json.Unmarshal(d.Data, &value) != nil || json.Unmarshal(data, &members) != nil || len(members) != 2 {
		return nil, errSOPSKind
	}
	f := &sopsFile{
		lines:    []sopsLine{{"data", value}},
		modified: d.SOPS.LastModified, mac: d.SOPS.MAC, onlyEncrypted: d.SOPS.MACOnlyEncrypted, binary: true,
	}
	for _, recipient := range d.SOPS.Age {
		f.keys = append(f.keys, recipient.Enc)
	}
	return f, nil
}

var sopsAgeKey = regexp.MustCompile(`^sops_age__list_\d+__map_enc$`)

func parseSOPSEnv(data []byte) *sopsFile {
	f := &sopsFile{}
	for line := range strings.SplitSeq(string(data), "\n") {
		name, value, ok := strings.Cut(line, "=")
		value = strings.ReplaceAll(value, `\n`, "\n")
		switch {
		case line == "":
		case line[0] == '#' || !ok:
			f.lines = append(f.lines, sopsLine{value: line})
		case sopsAgeKey.MatchString(name):
			f.keys = append(f.keys, value)
		case name == "sops_lastmodified":
			f.modified = value
		case name == "sops_mac":
			f.mac = value
		case name == "sops_mac_only_encrypted":
			f.onlyEncrypted = value == "true"
		case strings.HasPrefix(name, "sops_"):
		default:
			f.lines = append(f.lines, sopsLine{name, value})
		}
	}
	return f
}

// decrypt is the file as it was before SOPS, once its mac is verified.
func (f *sopsFile) decrypt(key []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errDamaged
	}
	mac := sha512.New()
	if f.onlyEncrypted {
		start := sha256.Sum256([]byte("sops"))
		mac.Write(start[:])
	}
	var out bytes.Buffer
	for _, l := range f.lines {
		if l.name == "" {
			continue // a comment, which may be encrypted
		}
		value, encrypted, err := sopsOpen(block, l.value, l.name+":")
		if err != nil {
			return nil, err
		}
		if encrypted || !f.onlyEncrypted {
			mac.Write([]byte(value))
		}
		if f.binary {
			out.WriteString(value)
		} else {
			fmt.Fprintf(&out, "%s=%s\n", l.name, strings.ReplaceAll(value, "\n", `\n`))
		}
	}
	want, encrypted, err := sopsOpen(block, f.mac, f.modified)
	got := strings.ToUpper(hex.EncodeToString(mac.Sum(nil)))
	if err != nil || !encrypted || subtle.ConstantTimeCompare([]byte(want), []byte(got)) != 1 {
		return nil, errors.New("is encrypted by SOPS and was changed since: its values are not those that were signed")
	}
	return out.Bytes(), nil
}

// sopsOpen decrypts one value that stands at a place in its file. A value that is
// not encrypted is returned as it is.
func sopsOpen(block cipher.Block, value, place string) (text string, encrypted bool, err error) {
	m := sopsValue.FindStringSubmatch(value)
	if m == nil {
		return value, false, nil
	}
	var parts [3][]byte
	for i := range parts {
		if parts[i], err = base64.StdEncoding.DecodeString(m[i+1]); err != nil {
			return "", false, errDamaged
		}
	}
	data, iv, tag := parts[0], parts[1], parts[2]
	aead, err := cipher.NewGCMWithNonceSize(block, max(len(iv), 1))
	if err != nil || m[4] != "str" {
		return "", false, errDamaged
	}
	plain, err := aead.Open(nil, iv, append(data, tag...), []byte(place))
	if err != nil {
		return "", false, errDamaged
	}
	return string(plain), true, nil
}
