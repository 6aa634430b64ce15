package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
)

// Secrets are how this host reads what Git holds encrypted for an age key, and
// where it puts what only containers may see.
type Secrets struct {
	// KeyFile holds the host's age identities, one a line, or an SSH private key;
	// "" means that nothing can be decrypted. It is read anew each time.
	KeyFile string
	// Dir is where decrypted files are mounted from. It must be in memory.
	Dir string
	// Blind leaves what is encrypted alone and notes it, for a check of the files
	// on a machine that has no key.
	Blind bool
	// Learn is told every decrypted value, so that it can be kept out of logs; nil
	// for nobody.
	Learn func(values ...string)
}

const (
	sealedStart  = "age-encryption.org/v1\n"
	armoredStart = armor.Header

	// maxSealed bounds an encrypted file and what is in it, in bytes.
	maxSealed = 1 << 20
	maxKeys   = 64 << 10
)

// unread is what is said of a file that was left alone for want of a key.
const unread = "is encrypted and was not looked into: this machine has no age_key_file"

// sealed reports whether data is a file that age, or SOPS, has encrypted. Its name
// does not matter.
func sealed(data []byte) bool { return madeByAge(data) || madeBySOPS(data) }

func madeByAge(data []byte) bool {
	return bytes.HasPrefix(data, []byte(sealedStart)) || bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte(armoredStart))
}

// open decrypts data. No error quotes what was read.
func (s Secrets) open(data []byte) ([]byte, error) {
	if madeByAge(data) {
		return s.openAge(data)
	}
	return s.openSOPS(data)
}

func (s Secrets) openAge(data []byte) ([]byte, error) {
	identities, err := s.identities()
	if err != nil {
		return nil, err
	}
	in := io.Reader(bytes.NewReader(data))
	if !bytes.HasPrefix(data, []byte(sealedStart)) {
		in = armor.NewReader(in)
	}
	out, err := age.Decrypt(in, identities...)
	var nobody *age.NoIdentityMatchError
	if errors.As(err, &nobody) {
		return nil, fmt.Errorf("is encrypted for none of the keys in %s", s.KeyFile)
	}
	if err != nil {
		return nil, errDamaged
	}
	plain, err := io.ReadAll(io.LimitReader(out, maxSealed+1))
	if err != nil {
		return nil, errDamaged
	}
	if len(plain) > maxSealed {
		return nil, fmt.Errorf("is larger than %d KiB", maxSealed>>10)
	}
	return plain, nil
}

func (s Secrets) learn(values ...string) {
	if s.Learn != nil {
		s.Learn(values...)
	}
}

// skips reports whether data is left alone for want of a key.
func (s Secrets) skips(data []byte) bool { return s.Blind && s.KeyFile == "" && sealed(data) }

var (
	errDamaged = errors.New("is encrypted and damaged: it cannot be decrypted with any key")
	errNoKey   = errors.New("is encrypted, and this host has no key: name a file of age identities with age_key_file")
)

// identities reads the key file. No error quotes it.
func (s Secrets) identities() ([]age.Identity, error) {
	if s.KeyFile == "" {
		return nil, errNoKey
	}
	f, err := os.Open(s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("is encrypted, and the host's key %s %w", s.KeyFile, plain(err))
	}
	defer f.Close()
	data, err := readRegular(f, maxKeys)
	if err != nil {
		return nil, fmt.Errorf("is encrypted, and the host's key %s %w", s.KeyFile, err)
	}
	if bytes.HasPrefix(data, []byte("-----BEGIN")) {
		identity, err := agessh.ParseIdentity(data)
		if err != nil {
			return nil, fmt.Errorf("is encrypted, and the host's key %s is no SSH key of type ed25519 or rsa without a passphrase", s.KeyFile)
		}
		return []age.Identity{identity}, nil
	}
	identities, err := age.ParseIdentities(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("is encrypted, and the host's key %s holds something else than age identities", s.KeyFile)
	}
	return identities, nil
}

// reveal is a file of variables, decrypted if it is encrypted.
func (s Secrets) reveal(data []byte, err error) ([]byte, error) {
	if err != nil || !sealed(data) {
		return data, err
	}
	if data, err = s.open(data); err == nil {
		s.learn(valuesOf(data)...)
	}
	return data, err
}

// unsealedName is a file's name without the ending that says that it is
// encrypted.
func unsealedName(rel string) string {
	name := base(rel)
	if cut := strings.TrimSuffix(name, ".age"); cut != "" {
		return cut
	}
	return name
}

// place is where the decrypted content with this keyed sum is mounted from.
func (s Secrets) place(sum, rel string) string {
	return filepath.Join(s.Dir, sum, unsealedName(rel))
}
