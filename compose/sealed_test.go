package compose

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// safe is a host with an age key and a directory in memory.
type safe struct {
	testing.TB
	identity *age.X25519Identity
	secrets  Secrets
	learned  []string
}

func newSafe(t testing.TB) *safe {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s := &safe{TB: t, identity: identity}
	key := filepath.Join(t.TempDir(), "key")
	put(t, key, "# the host's key\n"+identity.String()+"\n")
	memory, err := os.MkdirTemp("/dev/shm", "davit-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(memory) })
	s.secrets = Secrets{KeyFile: key, Dir: filepath.Join(memory, "secrets"), Learn: func(v ...string) { s.learned = append(s.learned, v...) }}
	return s
}

// seal encrypts text for the host as age does.
func (s *safe) seal(text string) string {
	s.Helper()
	var b bytes.Buffer
	w, err := age.Encrypt(&b, s.identity.Recipient())
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		s.Fatal(err)
	}
	return b.String()
}

// armored is seal in letters.
func (s *safe) armored(text string) string {
	s.Helper()
	var b bytes.Buffer
	w := armor.NewWriter(&b)
	_, err := w.Write([]byte(s.seal(text)))
	if err := errors.Join(err, w.Close()); err != nil {
		s.Fatal(err)
	}
	return b.String()
}

func (s *safe) load(data string, files map[string]string) (*Project, error) {
	s.Helper()
	root := write(s, files)
	o := options(root)
	o.DataDir, o.Secrets = data, s.secrets
	return Load(s.Context(), find(s, root), o)
}

func (s *safe) mustLoad(data string, files map[string]string) *Project {
	s.Helper()
	p, err := s.load(data, files)
	if err != nil {
		s.Fatal(err)
	}
	return p
}

const sealedStack = "services: {a: {image: a, env_file: prod.env.age, environment: {X: '${DOT}'}, secrets: [s], configs: [c]}}\n" +
	"secrets: {s: {file: ./db.txt.age}}\nconfigs: {c: {file: ./conf}}"

func (s *safe) files(secret string) map[string]string {
	return map[string]string{
		"compose.yaml": sealedStack, "prod.env.age": s.seal("PASSWORD=from-env-file\n"), ".env": s.armored("DOT=from-dot-env\n"),
		"db.txt.age": s.armored(secret), "conf": s.seal("from-config"),
	}
}

func TestEncryptedFilesAreDecryptedToMemoryOnly(t *testing.T) {
	s, data := newSafe(t), t.TempDir()
	p := s.mustLoad(data, s.files("from-secret"))
	env := p.Services[0].Config.Environment
	if *env["PASSWORD"] != "from-env-file" || *env["X"] != "from-dot-env" {
		t.Errorf("environment %v", env)
	}
	if _, err := (Files{Secrets: s.secrets}).Write(p); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{p.Model.Secrets["s"].File: "from-secret", p.Model.Configs["c"].File: "from-config"} {
		if got := read(t, file); got != want || !strings.HasPrefix(file, s.secrets.Dir+"/") {
			t.Errorf("%s holds %q, want %q in memory", file, got, want)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o444 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	if filepath.Base(p.Model.Secrets["s"].File) != "db.txt" {
		t.Errorf("it is called %s", p.Model.Secrets["s"].File)
	}
	if info, err := os.Stat(s.secrets.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory of secrets: %v, %v", info, err)
	}
	for _, value := range []string{"from-env-file", "from-dot-env", "from-secret", "from-config"} {
		if !slices.Contains(s.learned, value) {
			t.Errorf("%q was not reported as secret", value)
		}
		absent(t, data, value)
	}
}

// absent searches every file below dir for text.
func absent(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.Contains(read(t, name), text) {
			t.Errorf("%s holds %q", name, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestASecretRollsItsServiceExactlyWhenItsValueChanges(t *testing.T) {
	s, data := newSafe(t), t.TempDir()
	before, same, after := s.mustLoad(data, s.files("value")), s.mustLoad(data, s.files("value")), s.mustLoad(data, s.files("other"))
	if before.Hash != same.Hash || before.Model.Secrets["s"].File != same.Model.Secrets["s"].File {
		t.Error("encrypting the same value anew rolls the service")
	}
	if hashOf(before, "a") == hashOf(after, "a") || before.Model.Secrets["s"].File == after.Model.Secrets["s"].File {
		t.Error("another value does not roll the service")
	}
}

func TestDecryptedSecretsComeBackAfterTheHostWasStartedAnew(t *testing.T) {
	s, data := newSafe(t), t.TempDir()
	p := s.mustLoad(data, s.files("from-secret"))
	files := Files{DataDir: data, Secrets: s.secrets}
	if _, err := files.Write(p); err != nil {
		t.Fatal(err)
	}
	stored, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	// No repository, nothing in memory, and a directory that an engine has put in
	// the way.
	for _, c := range p.Content {
		if err := os.RemoveAll(c.From); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(s.secrets.Dir); err != nil {
		t.Fatal(err)
	}
	back, err := Unmarshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(back.Model.Secrets["s"].File, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Write(back); err != nil {
		t.Fatal(err)
	}
	if got := read(t, back.Model.Secrets["s"].File); got != "from-secret" {
		t.Errorf("the secret is %q", got)
	}
}

func TestWhatCannotBeDecryptedIsNamedAndNeverQuoted(t *testing.T) {
	s, other := newSafe(t), newSafe(t)
	stack := func(secret string) map[string]string {
		return map[string]string{"compose.yaml": "services: {a: {image: a, secrets: [s]}}\nsecrets: {s: {file: ./db.age}}", "db.age": secret}
	}
	key := func(text string) Secrets {
		name := filepath.Join(t.TempDir(), "key")
		put(t, name, text)
		return Secrets{KeyFile: name}
	}
	for name, c := range map[string]struct {
		files   map[string]string
		secrets Secrets
		want    string
	}{
		"for somebody else":            {stack(other.seal("precious")), s.secrets, "is encrypted for none of the keys in " + s.secrets.KeyFile},
		"cut off":                      {stack(s.seal("precious")[:120]), s.secrets, "is encrypted and damaged"},
		"changed":                      {stack(s.seal("precious") + "x"), s.secrets, "is encrypted and damaged"},
		"without a key":                {stack(s.seal("precious")), Secrets{}, "name a file of age identities with age_key_file"},
		"with a key that is gone":      {stack(s.seal("precious")), Secrets{KeyFile: "/nowhere"}, "the host's key /nowhere does not exist"},
		"with something else as a key": {stack(s.seal("precious")), key("hunter2hunter2"), "holds something else than age identities"},
		"with a broken SSH key":        {stack(s.seal("precious")), key("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2hunter2\n"), "is no SSH key"},
		"too large":                    {stack(s.seal(strings.Repeat("x", maxSealed))), s.secrets, "secrets.s: "},
		"an env_file":                  {map[string]string{"compose.yaml": "services: {a: {image: a, env_file: e}}", "e": other.seal("A=precious")}, s.secrets, "services.a.env_file: \"e\" is encrypted for none"},
		"a .env":                       {map[string]string{"compose.yaml": "services: {a: {image: a}}", ".env": other.seal("A=precious")}, s.secrets, ".env: is encrypted for none"},
		"labels":                       {map[string]string{"compose.yaml": "services: {a: {image: a, label_file: e}}", "e": s.seal("A=precious")}, s.secrets, "services.a.label_file: \"e\" is encrypted, and labels are no place"},
		"an include's variables":       {map[string]string{"compose.yaml": "include: [{path: sub/b.yaml, env_file: e}]", "sub/b.yaml": "services: {a: {image: a}}", "e": s.seal("A=precious")}, s.secrets, "is encrypted, which the variables of an included file cannot be"},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, c.files)
			o := options(root)
			o.Secrets = c.secrets
			_, err := Load(t.Context(), find(t, root), o)
			if name == "too large" && err == nil {
				return // it fits, to the byte
			}
			if err == nil || len(Problems(err)) == 0 || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "precious") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v quotes a secret", err)
			}
		})
	}
}

func TestACheckWithoutAKeyNotesWhatItCannotSee(t *testing.T) {
	s := newSafe(t)
	s.secrets = Secrets{Blind: true}
	files := newSafe(t).files("x")
	delete(files, ".env")
	p := s.mustLoad("/data", files)
	var noted []string
	for _, n := range p.Notes {
		if n.Text == unread {
			noted = append(noted, n.File)
		}
	}
	slices.Sort(noted)
	if want := []string{"conf", "db.txt.age", "prod.env.age"}; !slices.Equal(noted, want) {
		t.Errorf("noted %v, want %v", noted, want)
	}
}

func TestNothingIsDecryptedToADisk(t *testing.T) {
	s, data := newSafe(t), t.TempDir()
	s.secrets.Dir = filepath.Join(t.TempDir(), "secrets")
	p := s.mustLoad(data, s.files("from-secret"))
	_, err := (Files{Secrets: s.secrets}).Write(p)
	if err == nil || !strings.Contains(err.Error(), "is on a disk") || !strings.Contains(err.Error(), "secrets_dir") {
		t.Errorf("got %v", err)
	}
	absent(t, filepath.Dir(s.secrets.Dir), "from-secret")
}

func TestAHostFileThatOthersCanWriteIsRefused(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{0o600: "", 0o644: "note", 0o664: "error", 0o602: "error"} {
		root := write(t, one("services: {a: {image: a}}"))
		o := options(root)
		o.HostEnvFile = filepath.Join(t.TempDir(), "app.env")
		put(t, o.HostEnvFile, "A=b")
		if err := os.Chmod(o.HostEnvFile, mode); err != nil {
			t.Fatal(err)
		}
		p, err := Load(t.Context(), find(t, root), o)
		got := ""
		switch {
		case err != nil && strings.Contains(err.Error(), "can be written by others"):
			got = "error"
		case err != nil:
			t.Fatal(err)
		case len(p.Notes) > 0 && p.Notes[0].File == o.HostEnvFile:
			got = "note"
		}
		if got != want {
			t.Errorf("%o: got %q (%v), want %q", mode, got, err, want)
		}
	}
}

func TestWhichValuesAreTakenForSecrets(t *testing.T) {
	for pair, want := range map[string]bool{
		"LOG_LEVEL=production":                              false,
		"PORT=123456":                                       false,
		"TAG=v1.2.3-rc.1":                                   false,
		"TIMEOUT=15000ms":                                   false,
		"TZ=Europe/Berlin":                                  false,
		"HOME=/var/lib/app":                                 false,
		"DOMAIN=till-7.example.org":                         false,
		"PEER=db.internal:5432":                             false,
		"IMAGE=registry.example.org/shop/web:1.2.3":         false,
		"URL=https://example.org/":                          false,
		"URL=https://example.org/health":                    false,
		"PIN=1234":                                          false, // too short to be found in a text
		"DB_PASSWORD=production":                            true,
		"API_KEY=123456":                                    true,
		"X=hunter2hunter2":                                  true,
		"X=correct horse battery staple":                    true,
		"URL=postgres://app:hunter2@db/app":                 true,
		"URL=https://hooks.example.org/T0/B0/x9Zk2LmNpQ7rS": true,
		"URL=https://example.org/?sig=x9Zk2LmNpQ7rS":        true,
	} {
		name, value, _ := strings.Cut(pair, "=")
		if got := sensitive(name, value); got != want {
			t.Errorf("%s: %v", pair, got)
		}
	}
}
