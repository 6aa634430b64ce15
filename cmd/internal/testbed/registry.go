package testbed

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Registry is an image registry on loopback, where engines need no TLS. What it
// holds survives Stop and Start. It is written to directly, not through its port:
// a push works while it is stopped, hangs or asks for a password.
type Registry struct {
	*Server
	tb    TB
	store http.Handler
}

func newRegistry(tb TB) *Registry {
	tb.Helper()
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	return &Registry{Server: newServer(tb, store), tb: tb, store: store}
}

// push stores image as the tag ref, moving the tag if it exists.
func (r *Registry) push(ref string, image v1.Image) {
	r.tb.Helper()
	tag, err := name.NewTag(ref, name.Insecure)
	if err == nil {
		err = remote.Write(tag, image, remote.WithTransport(direct{r.store}), remote.WithContext(r.tb.Context()))
	}
	if err != nil {
		r.tb.Fatalf("push %s: %v", ref, err)
	}
}

// Delete forgets a tag.
func (r *Registry) Delete(ref string) {
	r.tb.Helper()
	tag, err := name.NewTag(ref, name.Insecure)
	if err == nil {
		err = remote.Delete(tag, remote.WithTransport(direct{r.store}), remote.WithContext(r.tb.Context()))
	}
	if err != nil {
		r.tb.Fatalf("delete %s: %v", ref, err)
	}
}

// direct hands requests to a handler without a network between them.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	d.handler.ServeHTTP(recorder, r)
	response := recorder.Result()
	response.Request = r
	return response, nil
}
