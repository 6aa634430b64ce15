package compose

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sopsHost is a host with the key that the files of testdata/sops, which SOPS 3.13.3
// has written, are for.
func sopsHost(t testing.TB) *safe {
	s := newSafe(t)
	s.secrets.KeyFile = "testdata/sops/age.key"
	return s
}

func sopsFixture(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata/sops", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFilesThatSOPSHasWrittenAreRead(t *testing.T) {
	s := sopsHost(t)
	p := s.mustLoad(t.TempDir(), map[string]string{
		"compose.yaml": "services: {a: {image: a, env_file: [prod.env], secrets: [s]}, b: {image: b, env_file: only.env}}\nsecrets: {s: {file: db.txt}}",
		"prod.env":     sopsFixture(t, "prod.env"), "only.env": sopsFixture(t, "only.env"), "db.txt": sopsFixture(t, "db.txt"),
	})
	a, b := p.Services[0].Config.Environment, p.Services[1].Config.Environment
	for name, want := range map[string]string{"PASSWORD": "from sops", "EMPTY": "", "LEVEL_unencrypted": "debug", "LINES": `one\ntwo`} {
		if a[name] == nil || *a[name] != want {
			t.Errorf("%s is %v, want %q", name, a[name], want)
		}
	}
	if b["PASSWORD"] == nil || *b["PASSWORD"] != "from sops" || len(b) != 2 {
		t.Errorf("environment of b: %v", b)
	}
	if _, err := (Files{Secrets: s.secrets}).Write(p); err != nil {
		t.Fatal(err)
	}
	if got := read(t, p.Model.Secrets["s"].File); got != "a secret\nof two lines\n" {
		t.Errorf("the secret is %q", got)
	}
	if !slices.Contains(s.learned, "from sops") {
		t.Errorf("learned %q", s.learned)
	}
}

func TestSOPSFilesThatCannotBeTrustedAreRefused(t *testing.T) {
	s := sopsHost(t)
	env, only, binary := sopsFixture(t, "prod.env"), sopsFixture(t, "only.env"), sopsFixture(t, "db.txt")
	line := func(text, begins string) string {
		i := strings.Index(text, begins)
		return text[i : i+strings.Index(text[i:], "\n")]
	}
	for name, c := range map[string]struct {
		data, want string
		by         Secrets
	}{
		"a value that was changed":         {strings.Replace(env, "PASSWORD=ENC[AES256_GCM,data:", "PASSWORD=ENC[AES256_GCM,data:AAAA", 1), "damaged", s.secrets},
		"a value in clear instead":         {strings.Replace(env, line(env, "PASSWORD="), "PASSWORD=planted", 1), "was changed since", s.secrets},
		"a value in clear besides":         {"PLANTED=x\n" + env, "was changed since", s.secrets},
		"a value that is missing":          {strings.Replace(env, line(env, "PASSWORD="), "", 1), "was changed since", s.secrets},
		"two values that changed places":   {strings.NewReplacer("PASSWORD=", "LINES=", "LINES=", "PASSWORD=").Replace(env), "damaged", s.secrets},
		"an encrypted value that is gone":  {strings.Replace(only, line(only, "PASSWORD="), "", 1), "was changed since", s.secrets},
		"a signature of another time":      {strings.Replace(env, line(env, "sops_lastmodified="), "sops_lastmodified=2020-01-01T00:00:00Z", 1), "was changed since", s.secrets},
		"a signature in clear":             {strings.Replace(env, line(env, "sops_mac="), "sops_mac=", 1), "was changed since", s.secrets},
		"no recipient of age":              {strings.ReplaceAll(env, "sops_age__", "sops_kms__"), "for no age recipient", s.secrets},
		"for somebody else":                {env, "for none of the keys in", newSafe(t).secrets},
		"without a key":                    {binary, "age_key_file", Secrets{}},
		"JSON whose values stand alone":    {sopsFixture(t, "app.json"), "--input-type binary", s.secrets},
		"YAML whose values stand alone":    {sopsFixture(t, "app.yaml"), "--input-type binary", s.secrets},
		"a binary file with another value": {strings.Replace(binary, "{", `{"more": "x",`, 1), "--input-type binary", s.secrets},
	} {
		t.Run(name, func(t *testing.T) {
			if !sealed([]byte(c.data)) {
				t.Fatal("it is not taken for an encrypted file")
			}
			plain, err := c.by.open([]byte(c.data))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "planted") {
				t.Errorf("got %q, %v, want %q", plain, err, c.want)
			}
		})
	}
}

func TestOrdinaryFilesAreNotTakenForEncryptedOnes(t *testing.T) {
	for _, text := range []string{"", "A=b", "{}", "sops: yes", "A=ENC[AES256_GCM,data:x]", `{"data": "x", "sops": {}}`, "sops_mac=x", "age-encryption.org/v2\n"} {
		if sealed([]byte(text)) {
			t.Errorf("%q is taken for an encrypted file", text)
		}
	}
}

// FuzzEncryptedFiles gives every reader of encrypted files what a repository may
// hold.
func FuzzEncryptedFiles(f *testing.F) {
	s := sopsHost(f)
	for _, name := range []string{"prod.env", "only.env", "db.txt", "app.json", "app.yaml"} {
		f.Add([]byte(sopsFixture(f, name)))
	}
	f.Add([]byte(s.armored("x")))
	f.Add([]byte(s.seal("x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, err := s.secrets.open(data)
		if err != nil && bytes.Contains([]byte(err.Error()), []byte("from sops")) {
			t.Errorf("%v quotes a secret", err)
		}
		if err == nil && len(plain) > max(maxSealed, len(data)) {
			t.Errorf("%d bytes came out of %d", len(plain), len(data))
		}
	})
}
