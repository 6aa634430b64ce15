package engine_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"davit/engine"
	"davit/reconcile"
)

// store is a registry on loopback, which engines reach without TLS.
type store struct {
	lab
	address string
	auth    authn.Authenticator
}

// newStore starts a registry that asks for user:password unless that is "".
func newStore(l lab, user, password string) store {
	l.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		u, p, _ := q.BasicAuth()
		if user != "" && (u != user || p != password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
			return
		}
		inner.ServeHTTP(w, q)
	}))
	l.Cleanup(s.Close)
	auth := authn.Anonymous
	if user != "" {
		auth = &authn.Basic{Username: user, Password: password}
	}
	return store{lab: l, address: strings.TrimPrefix(s.URL, "http://"), auth: auth}
}

// push puts a new image there as PROJECT:tag and returns what it is.
func (s store) push(tag string) reconcile.Image {
	s.Helper()
	layers, err := random.Image(512, 1)
	if err != nil {
		s.Fatal(err)
	}
	i, err := mutate.ConfigFile(layers, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64",
		RootFS: must(layers.ConfigFile()).RootFS,
		Config: v1.Config{Labels: map[string]string{"test": s.project}, Volumes: map[string]struct{}{"/data": {}}},
	})
	if err != nil {
		s.Fatal(err)
	}
	ref, err := name.ParseReference(s.ref(tag))
	if err != nil {
		s.Fatal(err)
	}
	if err := remote.Write(ref, i, remote.WithAuth(s.auth)); err != nil {
		s.Fatal(err)
	}
	return reconcile.Image{Ref: s.ref(tag), Digest: must(i.Digest()).String(), ID: must(i.ConfigName()).String()}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (s store) ref(tag string) string { return s.address + "/" + s.project + ":" + tag }

func TestAPullFetchesExactlyWhatIsPinned(t *testing.T) {
	t.Parallel()
	s := newStore(newLab(t), "", "")
	first := s.push("1")
	second := s.push("1") // the tag moves
	got, err := s.engine.Pull(t.Context(), reconcile.Image{Ref: first.Ref, Digest: first.Digest})
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != first.ID || got.Digest != first.Digest || got.Ref != first.Ref || !got.Local || len(got.Volumes) != 1 {
		t.Errorf("got %+v, want %+v", got, first)
	}
	tagged, err := s.engine.LocalImage(t.Context(), first.Ref)
	if err != nil || tagged.ID != first.ID {
		t.Errorf("the tag means %s (%v)", tagged.ID, err)
	}
	// By tag, for want of anything better.
	got, err = s.engine.Pull(t.Context(), reconcile.Image{Ref: second.Ref})
	if err != nil || got.ID != second.ID || got.Digest != second.Digest {
		t.Errorf("by tag: %+v, %v", got, err)
	}
	// The first is there still, under its digest.
	if got, err = s.engine.LocalImage(t.Context(), first.Pinned()); err != nil || got.ID != first.ID {
		t.Errorf("by digest: %+v, %v", got, err)
	}
}

func TestAPullOfAnImageThatIsAnotherByNowFails(t *testing.T) {
	t.Parallel()
	s := newStore(newLab(t), "", "")
	i := s.push("1")
	want := "sha256:" + strings.Repeat("5", 64)
	_, err := s.engine.Pull(t.Context(), reconcile.Image{Ref: i.Ref, ID: want})
	if !errors.Is(err, reconcile.ErrImageMissing) || !strings.Contains(err.Error(), want) {
		t.Errorf("pull: %v", err)
	}
}

func TestAPullOfWhatWasNotPushedIsMissing(t *testing.T) {
	t.Parallel()
	s := newStore(newLab(t), "", "")
	s.push("1")
	for _, ref := range []string{s.ref("2"), s.address + "/" + s.project + "-other:1"} {
		if _, err := s.engine.Pull(t.Context(), reconcile.Image{Ref: ref}); !errors.Is(err, reconcile.ErrImageMissing) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestAPullUsesTheConfigFilesCredentials(t *testing.T) {
	t.Parallel()
	s := newStore(newLab(t), "ann", "secret")
	i := s.push("1")
	for _, c := range []struct {
		name, config string
		want         error
	}{
		{"none", `{}`, reconcile.ErrRegistryDenied},
		{"wrong ones", `{"auths":{"` + s.address + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("ann:wrong")) + `"}}}`, reconcile.ErrRegistryDenied},
		{"right ones", `{"auths":{"` + s.address + `":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("ann:secret")) + `"}}}`, nil},
	} {
		_, err := withConfig(t, c.config).Pull(t.Context(), i)
		if !errors.Is(err, c.want) {
			t.Errorf("with %s: %v, want %v", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "wrong") {
			t.Errorf("with %s: the error tells the password: %v", c.name, err)
		}
	}
}

func withConfig(t *testing.T, text string) *engine.Engine {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Options{
		Instance: instance, DockerConfigDir: dir, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Timeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestACredentialHelperIsAsked(t *testing.T) {
	s := newStore(newLab(t), "ann", "secret")
	i := s.push("1")
	bin := t.TempDir()
	script := "#!/bin/sh\nread server\necho '{\"ServerURL\":\"'$server'\",\"Username\":\"ann\",\"Secret\":\"secret\"}'\n"
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-davittest"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	e := withConfig(t, `{"credHelpers":{"`+s.address+`":"davittest"}}`)
	if got, err := e.Pull(t.Context(), i); err != nil || got.ID != i.ID {
		t.Errorf("pull: %+v, %v", got, err)
	}
}

func TestABrokenConfigFileIsAnError(t *testing.T) {
	_, err := withConfig(t, `{"auths":`).Pull(t.Context(), reconcile.Image{Ref: "registry.invalid/shop:1"})
	if err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("pull: %v", err)
	}
}
