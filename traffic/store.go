package traffic

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// store keeps the table and the cookie secret on disk. What it returns from is
// durable, and a file is whole or not there.
type store struct{ dir string }

const (
	tableFile  = "table"
	secretFile = "secret"
	secretSize = 32
	// tableHeading begins the table's file, with the digest of what follows in %x.
	tableHeading = "davit edge table, sha256 %x\n"
)

// errDamaged is why a table on disk is not served.
var errDamaged = errors.New("the table on disk is damaged")

// abandoned is the age of a file that its writer, which takes far less, never renamed.
const abandoned = time.Minute

func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("directory of the edge: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.tmp-*"))
	if err != nil {
		return nil, fmt.Errorf("directory of the edge: %w", err)
	}
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > abandoned {
			_ = os.Remove(path) // it costs a few bytes at worst
		}
	}
	return &store{dir}, nil
}

// save makes t the table on disk.
func (s *store) save(t Table) error {
	content, err := json.Marshal(t)
	if err == nil {
		err = s.write(tableFile, append(fmt.Appendf(nil, tableHeading, sha256.Sum256(content)), content...))
	}
	if err != nil {
		return fmt.Errorf("save table %d: %w", t.Generation, err)
	}
	return nil
}

// load returns the table on disk, the zero one if there is none. One that is damaged
// is put aside, for people, and reported as errDamaged.
func (s *store) load() (Table, error) {
	path := filepath.Join(s.dir, tableFile)
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Table{}, nil
	case err != nil:
		return Table{}, fmt.Errorf("load table: %w", err)
	}
	t, err := readTable(content)
	if err != nil {
		err = fmt.Errorf("load table: %w: %w", errDamaged, err)
		return Table{}, errors.Join(err, os.Rename(path, path+".damaged"))
	}
	return t, nil
}

func readTable(content []byte) (Table, error) {
	heading, body, _ := bytes.Cut(content, []byte("\n"))
	if string(heading)+"\n" != fmt.Sprintf(tableHeading, sha256.Sum256(body)) {
		return Table{}, errors.New("its digest is not that of its content")
	}
	var t Table
	if err := json.Unmarshal(body, &t); err != nil {
		return Table{}, err
	}
	return t, t.Validate()
}

// secret returns what signs cookies, made at the first time. One that is damaged is
// made anew: clients lose their affinity, which is better than a key that is known.
func (s *store) secret() ([]byte, error) {
	have, err := os.ReadFile(filepath.Join(s.dir, secretFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cookie secret: %w", err)
	}
	if len(have) == secretSize {
		return have, nil
	}
	made := make([]byte, secretSize)
	rand.Read(made) // it never fails
	if err := s.write(secretFile, made); err != nil {
		return nil, fmt.Errorf("cookie secret: %w", err)
	}
	return made, nil
}

// write replaces a file by one with content that only its owner can read.
func (s *store) write(name string, content []byte) error {
	return replaceFile(filepath.Join(s.dir, name), content, 0o600)
}
