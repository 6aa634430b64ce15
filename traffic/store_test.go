package traffic

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// shopTable is a table of one port with one replica.
func shopTable(generation int64) Table {
	return Table{Instance: "here", Generation: generation, Ports: []Port{{
		Address: netip.MustParseAddrPort("127.0.0.1:8080"), Stack: "shop", Service: "web",
		Weights: map[int64]int{7: 95, 8: 5}, Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Backends: []Backend{{Container: "c1", Started: time.Unix(1700000000, 123456789).UTC(), Replica: "web/1", Release: 7,
			Address: netip.MustParseAddrPort("172.18.0.2:80"),
			Drain:   &Drain{Since: time.Unix(1700000100, 0).UTC(), Timeout: 30 * time.Second, Streams: 5 * time.Minute}}},
	}}}
}

func newStore(t *testing.T) *store {
	t.Helper()
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestATableOnDiskIsReadAsItWasWritten(t *testing.T) {
	s := newStore(t)
	if have, err := s.load(); err != nil || have.Instance != "" {
		t.Fatalf("without a file: %+v, %v", have, err)
	}
	for generation := range int64(3) {
		want := shopTable(generation + 1)
		if err := s.save(want); err != nil {
			t.Fatal(err)
		}
		if have, err := s.load(); err != nil || !have.same(want) {
			t.Fatalf("read %+v, %v; wrote %+v", have, err, want)
		}
	}
}

func TestADamagedTableIsPutAsideAndNothingIsServed(t *testing.T) {
	sealed := func(body string) []byte {
		return append(fmt.Appendf(nil, tableHeading, sha256.Sum256([]byte(body))), body...)
	}
	good := newStore(t)
	if err := good.save(shopTable(3)); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(good.dir, tableFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty":                        {},
		"cut short":                    whole[:len(whole)-9],
		"cut in its heading":           whole[:20],
		"one digit of an address":      bytes.Replace(whole, []byte("172.18.0.2"), []byte("172.18.0.3"), 1),
		"zeros, as after a power cut":  make([]byte, len(whole)),
		"more behind its end":          append(bytes.Clone(whole), "{}"...),
		"no table":                     sealed("[]"),
		"a word that nobody knows":     sealed(`{"instance":"here","generation":1,"ports":[{"network":"sctp"}]}`),
		"a generation that is not one": sealed(`{"instance":"here","generation":0,"ports":[]}`),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			path := filepath.Join(s.dir, tableFile)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if have, err := s.load(); !errors.Is(err, errDamaged) || have.Instance != "" {
				t.Fatalf("read %+v, %v", have, err)
			}
			aside, err := os.ReadFile(path + ".damaged")
			if err != nil || !bytes.Equal(aside, content) {
				t.Errorf("it was not put aside: %v", err)
			}
			if _, err := s.load(); err != nil {
				t.Errorf("the second start: %v", err)
			}
		})
	}
}

func TestACrashBeforeTheRenameLeavesTheOldTable(t *testing.T) {
	s := newStore(t)
	if err := s.save(shopTable(1)); err != nil {
		t.Fatal(err)
	}
	// This is all that such a crash leaves: the new table, whole or not, under another name.
	left := filepath.Join(s.dir, tableFile+".tmp-123")
	if err := os.WriteFile(left, []byte("davit edge table"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(left, long, long); err != nil {
		t.Fatal(err)
	}
	again, err := openStore(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if have, err := again.load(); err != nil || !have.same(shopTable(1)) {
		t.Fatalf("read %+v, %v", have, err)
	}
	if files, err := os.ReadDir(s.dir); err != nil || len(files) != 1 {
		t.Errorf("there are %v, %v", files, err)
	}
}

func TestATableThatCannotBeWrittenLeavesTheOldOne(t *testing.T) {
	s := newStore(t)
	if err := s.save(shopTable(1)); err != nil {
		t.Fatal(err)
	}
	// A directory in the place of the file fails the rename, for root too.
	path := filepath.Join(s.dir, secretFile)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.write(secretFile, []byte("x")); err == nil {
		t.Fatal("it was written over a directory")
	}
	if files, err := os.ReadDir(s.dir); err != nil || len(files) != 2 {
		t.Errorf("it left something: %v, %v", files, err)
	}
}

func TestTheSecretOutlivesTheProcessAndADamagedOneIsMadeAnew(t *testing.T) {
	s := newStore(t)
	first, err := s.secret()
	if err != nil || len(first) != secretSize {
		t.Fatalf("%x, %v", first, err)
	}
	if again, err := s.secret(); err != nil || !bytes.Equal(again, first) {
		t.Fatalf("the second time %x, %v", again, err)
	}
	path := filepath.Join(s.dir, secretFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if anew, err := s.secret(); err != nil || len(anew) != secretSize || bytes.Equal(anew, first) {
		t.Fatalf("after damage %x, %v", anew, err)
	}
}

func FuzzReadTable(f *testing.F) {
	f.Add([]byte("davit edge table, sha256 00\n{}"))
	f.Add([]byte(`{"instance":"here","generation":1,"ports":[]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, c := range [][]byte{content, append(fmt.Appendf(nil, tableHeading, sha256.Sum256(content)), content...)} {
			if table, err := readTable(c); err == nil && table.Validate() != nil {
				t.Errorf("a table that is not valid was read: %+v", table)
			}
		}
	})
}
