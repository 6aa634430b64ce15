package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// login is Docker's file of registry credentials as the agent of a site reads it.
type login struct {
	t        *testing.T
	file     string
	registry string
}

func newLogin(t *testing.T, s *site) login {
	t.Helper()
	file := filepath.Join(s.bed.Dir, "home", ".docker", "config.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	return login{t: t, file: file, registry: s.bed.Registry.Addr}
}

// write logs in, as `docker login` would.
func (l login) write(user, password string) {
	l.t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	content := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, l.registry, auth)
	if err := os.WriteFile(l.file, []byte(content), 0o600); err != nil {
		l.t.Fatal(err)
	}
}
