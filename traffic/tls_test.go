package traffic

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// tlsStand is a stand that serves HTTP over TLS, and how to talk to it.
type tlsStand struct {
	*stand
	transport *http.Transport
}

func answeringTLS(t *testing.T) tlsStand {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		added := ", nothing added"
		if r.Header.Get("X-Forwarded-For") != "" {
			added = ", but for a header"
		}
		io.WriteString(w, "over TLS"+added) // the client sees it
	}))
	t.Cleanup(server.Close)
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com",
	}}
	return tlsStand{stand: &stand{address: ends(server.Listener.Addr()), stop: server.Close}, transport: transport}
}
