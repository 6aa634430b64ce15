package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"davit/reconcile"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs a registry on this machine and returns its host.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	handler := inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		handler = wrap(handler)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func image(t *testing.T, c v1.Config, arch string) v1.Image {
	t.Helper()
	i, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: arch, Config: c})
	must(t, err)
	return i
}

func parse(t *testing.T, ref string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(ref)
	must(t, err)
	return r
}

func resolver(t *testing.T, o Options) *Resolver {
	t.Helper()
	r, err := New(o)
	must(t, err)
	return r
}

func digest(t *testing.T, i interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := i.Digest()
	must(t, err)
	return d.String()
}

func id(t *testing.T, i v1.Image) string {
	t.Helper()
	d, err := i.ConfigName()
	must(t, err)
	return d.String()
}

func TestResolveReadsDigestIDVolumesAndHealthcheck(t *testing.T) {
	host := serve(t, nil)
	for name, tt := range map[string]struct {
		config  v1.Config
		volumes []string
		check   bool
	}{
		"plain":                {v1.Config{}, nil, false},
		"volumes":              {v1.Config{Volumes: map[string]struct{}{"/z": {}, "/a": {}}}, []string{"/a", "/z"}, false},
		"a health check":       {v1.Config{Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "/ping"}}}, nil, true},
		"a shell check":        {v1.Config{Healthcheck: &v1.HealthConfig{Test: []string{"CMD-SHELL", "ping"}}}, nil, true},
		"a check switched off": {v1.Config{Healthcheck: &v1.HealthConfig{Test: []string{"NONE"}}}, nil, false},
		"a check inherited":    {v1.Config{Healthcheck: &v1.HealthConfig{}}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			i := image(t, tt.config, "amd64")
			ref := host + "/shop/web:1.2.3"
			must(t, remote.Write(parse(t, ref), i))
			got, err := resolver(t, Options{}).Resolve(t.Context(), ref, "")
			must(t, err)
			if got.Ref != ref || got.Digest != digest(t, i) || got.ID != id(t, i) || got.Local {
				t.Errorf("image = %+v", got)
			}
			if !slices.Equal(got.Volumes, tt.volumes) || got.Healthcheck != tt.check {
				t.Errorf("volumes %q, health check %t", got.Volumes, got.Healthcheck)
			}
		})
	}
}

func TestResolveGivesTheIndexDigestAndThePlatformsFacts(t *testing.T) {
	host := serve(t, nil)
	amd, arm := image(t, v1.Config{}, "amd64"), image(t, v1.Config{Volumes: map[string]struct{}{"/arm": {}}}, "arm64")
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: amd, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}}})
	ref := host + "/shop/web:1"
	must(t, remote.WriteIndex(parse(t, ref), index))
	for platform, want := range map[string]v1.Image{"linux/amd64": amd, "linux/arm64": arm, "linux/arm64/v8": arm} {
		got, err := resolver(t, Options{Platform: platform}).Resolve(t.Context(), ref, "")
		if err != nil || got.Digest != digest(t, index) || got.ID != id(t, want) {
			t.Errorf("for %s: %+v, %v", platform, got, err)
		}
	}
	_, err := resolver(t, Options{Platform: "linux/s390x"}).Resolve(t.Context(), ref, "")
	if !errors.Is(err, reconcile.ErrImageMissing) || !strings.Contains(reconcile.Hint(err), "linux/s390x") {
		t.Errorf("for an absent platform: %v, hint %q", err, reconcile.Hint(err))
	}
}

func TestResolveFollowsATagThatMoved(t *testing.T) {
	host := serve(t, nil)
	ref := host + "/shop/web:1"
	r := resolver(t, Options{})
	for _, arch := range []string{"amd64", "arm64"} {
		i := image(t, v1.Config{}, arch)
		must(t, remote.Write(parse(t, ref), i))
		if got, err := r.Resolve(t.Context(), ref, ""); err != nil || got.Digest != digest(t, i) {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func TestReferenceWithADigestIsVerified(t *testing.T) {
	var lie atomic.Bool
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if lie.Load() && strings.Contains(r.URL.Path, "/manifests/") {
				w.Header().Set("Content-Type", string(types.DockerManifestSchema2))
				fmt.Fprint(w, `{"schemaVersion":2}`)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	i := image(t, v1.Config{}, "amd64")
	must(t, remote.Write(parse(t, host+"/shop/web:1"), i))
	r := resolver(t, Options{})
	for _, ref := range []string{host + "/shop/web@" + digest(t, i), host + "/shop/web:gone@" + digest(t, i)} {
		if got, err := r.Resolve(t.Context(), ref, ""); err != nil || got.Digest != digest(t, i) || got.ID != id(t, i) || got.Ref != ref {
			t.Errorf("%+v, %v", got, err)
		}
	}
	_, err := r.Resolve(t.Context(), host+"/shop/web@sha256:"+strings.Repeat("0", 64), "")
	if !errors.Is(err, reconcile.ErrImageMissing) {
		t.Errorf("an unknown digest: %v", err)
	}
	lie.Store(true)
	if _, err := r.Resolve(t.Context(), host+"/shop/web@"+digest(t, i), ""); !errors.Is(err, reconcile.ErrRegistryUnavailable) {
		t.Errorf("another manifest than the digest's: %v", err)
	}
}

func TestConfigurationThatIsNotWhatItsDigestSaysIsRefused(t *testing.T) {
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				fmt.Fprint(w, `{"os":"linux","config":{"Volumes":{"/evil":{}}}}`)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	ref := host + "/shop/web:1"
	must(t, remote.Write(parse(t, ref), image(t, v1.Config{}, "amd64")))
	if got, err := resolver(t, Options{}).Resolve(t.Context(), ref, ""); !errors.Is(err, reconcile.ErrRegistryUnavailable) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFailuresAreToldApart(t *testing.T) {
	answer := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				return
			}
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const manifest = "application/vnd.docker.distribution.manifest.v2+json"
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    error
	}{
		"an unknown tag":         {answer(404, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`), reconcile.ErrImageMissing},
		"an unknown name":        {answer(404, `{"errors":[{"code":"NAME_UNKNOWN"}]}`), reconcile.ErrImageMissing},
		"a bare 404":             {answer(404, ``), reconcile.ErrImageMissing},
		"a refusal":              {answer(403, `{"errors":[{"code":"DENIED"}]}`), reconcile.ErrRegistryDenied},
		"a want of credentials":  {answer(401, ``, "WWW-Authenticate", `Basic realm="x"`), reconcile.ErrRegistryDenied},
		"an error":               {answer(500, "\x1b[31mboom\r\n"), reconcile.ErrRegistryUnavailable},
		"a bad gateway":          {answer(502, `<html>`), reconcile.ErrRegistryUnavailable},
		"a web page":             {answer(200, `<html>log in</html>`, "Content-Type", "text/html"), errNoImage},
		"garbage for a manifest": {answer(200, `{{{`, "Content-Type", manifest), reconcile.ErrRegistryUnavailable},
		"nothing for a manifest": {answer(200, ``, "Content-Type", manifest), reconcile.ErrRegistryUnavailable},
		"an old manifest":        {answer(200, `{"schemaVersion":1}`, "Content-Type", string(types.DockerManifestSchema1Signed)), errNoImage},
		"a chart":                {answer(200, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"}}`, "Content-Type", string(types.OCIManifestSchema1)), errNoImage},
		"a huge manifest":        {answer(200, strings.Repeat(" ", 20<<20), "Content-Type", manifest), reconcile.ErrRegistryUnavailable},
		"a huge error":           {answer(500, strings.Repeat("x", 20<<20)), reconcile.ErrRegistryUnavailable},
		"a redirect to nowhere":  {answer(302, ``, "Location", "http://registry.invalid/v2/"), reconcile.ErrRegistryUnavailable},
		"a redirect in a circle": {answer(302, ``, "Location", "/v2/shop/web/manifests/1"), reconcile.ErrRegistryUnavailable},
		"a cut connection":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, reconcile.ErrRegistryUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				tt.handler(w, r)
			}))
			t.Cleanup(s.Close)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			ref := strings.TrimPrefix(s.URL, "http://") + "/shop/web:1"
			_, err := resolver(t, Options{}).Resolve(t.Context(), ref, "")
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), "resolve image "+ref) {
				t.Fatalf("Resolve() = %v, want %v", err, tt.want)
			}
			var stalled *reconcile.Stalled
			if errors.As(err, &stalled) != (tt.want == errNoImage) || tt.want != errNoImage && reconcile.Hint(err) == "" {
				t.Errorf("kind or hint of %v", err)
			}
			if strings.ContainsAny(err.Error(), "\x1b\r\n") || len(err.Error()) > 700 {
				t.Errorf("unclean error %q", err)
			}
			if n := asked.Load(); n > 30 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

func TestRegistryThatAsksForPatienceIsWaitedFor(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		header string
		want   time.Duration
	}{
		"too many requests":                  {429, "90", 90 * time.Second},
		"too many requests without a number": {429, "", 0},
		"too many requests for ever":         {429, "99999999", time.Hour},
		"unavailable with a number":          {503, "5", 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			host := serve(t, func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if tt.header != "" {
						w.Header().Set("Retry-After", tt.header)
					}
					w.WriteHeader(tt.status)
				})
			})
			start := time.Now()
			_, err := resolver(t, Options{}).Resolve(t.Context(), host+"/shop/web:1", "")
			var waiting *reconcile.Waiting
			if !errors.As(err, &waiting) || waiting.After != tt.want || !errors.Is(err, reconcile.ErrRegistryUnavailable) {
				t.Errorf("Resolve() = %v", err)
			}
			if time.Since(start) > 3*time.Second {
				t.Errorf("it was waited for inside the call: %s", time.Since(start))
			}
		})
	}
}

func TestDeadlineHoldsAgainstRegistriesThatStall(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() }) // nobody accepts: connected, then silence
	drip := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				return
			}
			w.Header().Set("Content-Type", string(types.DockerManifestSchema2))
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				time.Sleep(5 * time.Millisecond)
			}
		})
	})
	for name, host := range map[string]string{"silently": l.Addr().String(), "by drips": drip} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := resolver(t, Options{Timeout: 150 * time.Millisecond}).Resolve(t.Context(), host+"/shop/web:1", "")
			if !errors.Is(err, reconcile.ErrRegistryUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Resolve() = %v", err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestCancelledResolveSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := resolver(t, Options{}).Resolve(ctx, serve(t, nil)+"/shop/web:1", "")
	if !errors.Is(err, context.Canceled) || errors.Is(err, reconcile.ErrRegistryUnavailable) {
		t.Errorf("Resolve() = %v", err)
	}
}

func TestRegistryThatIsDownIsUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	if _, err := resolver(t, Options{}).Resolve(t.Context(), l.Addr().String()+"/shop/web:1", ""); !errors.Is(err, reconcile.ErrRegistryUnavailable) {
		t.Errorf("Resolve() = %v", err)
	}
}

func TestReferencesThatAreNone(t *testing.T) {
	for _, ref := range []string{"", "Shop", "shop:", "shop@sha256:12", "http://host/shop", "shop web", "-shop:1", "a/../b", "shop\n"} {
		_, err := resolver(t, Options{Timeout: time.Second}).Resolve(t.Context(), ref, "")
		var stalled *reconcile.Stalled
		if !errors.As(err, &stalled) {
			t.Errorf("Resolve(%q) = %v", ref, err)
		}
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for _, platform := range []string{"linux", "a/b/c/d", "/", "linux/"} {
		if _, err := New(Options{Platform: platform}); err == nil {
			t.Errorf("New accepts platform %q", platform)
		}
	}
}

// guarded is a registry that lets one login in.
func guarded(t *testing.T, user, password string) string {
	t.Helper()
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if u, p, _ := r.BasicAuth(); u != user || p != password {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	return host
}

func dockerConfig(t *testing.T, content any) string {
	t.Helper()
	dir := t.TempDir()
	b, err := json.Marshal(content)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), b, 0o600))
	return dir
}

type object = map[string]any

func TestLoginsComeFromTheDockerConfiguration(t *testing.T) {
	const user, password = "ada", "s3cret"
	host := guarded(t, user, password)
	auth := object{"auth": "YWRhOnMzY3JldA=="}
	bin := t.TempDir()
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	helper := func(name, script string) {
		must(t, os.WriteFile(filepath.Join(bin, "docker-credential-"+name), []byte("#!/bin/sh\n"+script), 0o755))
	}
	helper("good", `read key; [ "$key" = `+host+` ] && echo '{"ServerURL":"x","Username":"ada","Secret":"s3cret"}'`)
	helper("none", `echo 'credentials not found in native keychain'; exit 1`)
	helper("broken", `echo "s3cret"; echo "vault is sealed" >&2; exit 1`)
	helper("nonsense", `echo s3cret`)
	helper("slow", `exec sleep 60`)
	helper("childish", `sleep 60 & exec sleep 60`)
	for name, tt := range map[string]struct {
		config any
		want   error // nil: let in, and told that there is no such image
	}{
		"by host":                       {object{"auths": object{host: auth}}, nil},
		"by URL":                        {object{"auths": object{"https://" + host + "/v1/": auth}}, nil},
		"by a helper for the host":      {object{"credHelpers": object{host: "good"}}, nil},
		"by a helper for all":           {object{"credsStore": "good"}, nil},
		"not at all":                    {object{}, reconcile.ErrRegistryDenied},
		"for another host":              {object{"auths": object{"example.org": auth}}, reconcile.ErrRegistryDenied},
		"wrongly":                       {object{"auths": object{host: object{"auth": "YWRhOndyb25n"}}}, reconcile.ErrRegistryDenied},
		"not by the helper":             {object{"credsStore": "none"}, reconcile.ErrRegistryDenied},
		"by a helper that fails":        {object{"credsStore": "broken"}, reconcile.ErrRegistryDenied},
		"by a helper of nonsense":       {object{"credsStore": "nonsense"}, reconcile.ErrRegistryDenied},
		"by a helper that is not there": {object{"credsStore": "missing"}, reconcile.ErrRegistryDenied},
		"by a path":                     {object{"credsStore": "../../bin/sh"}, reconcile.ErrRegistryDenied},
		"by a helper that hangs":        {object{"credsStore": "slow"}, reconcile.ErrRegistryUnavailable},
		"by a helper with a child":      {object{"credsStore": "childish"}, reconcile.ErrRegistryUnavailable},
		"in a file that is none":        {"text", reconcile.ErrRegistryDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := tt.want
			if want == nil {
				want = reconcile.ErrImageMissing
			}
			start := time.Now()
			_, err := resolver(t, Options{ConfigDir: dockerConfig(t, tt.config), Timeout: 2 * time.Second}).Resolve(context.Background(), host+"/shop/web:1", "")
			if !errors.Is(err, want) {
				t.Errorf("Resolve() = %v, want %v", err, want)
			}
			if strings.Contains(err.Error(), password) {
				t.Errorf("error %q holds the password", err)
			}
			if time.Since(start) > 15*time.Second {
				t.Errorf("it took %s", time.Since(start))
			}
		})
	}
}

func TestConfigurationThatIsNotThereMeansAnonymous(t *testing.T) {
	host := serve(t, nil)
	_, err := resolver(t, Options{ConfigDir: filepath.Join(t.TempDir(), "missing")}).Resolve(t.Context(), host+"/shop/web:1", "")
	if !errors.Is(err, reconcile.ErrImageMissing) {
		t.Errorf("Resolve() = %v", err)
	}
}

func TestPlainHTTPIsForThisMachineAndNamedRegistries(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:5000": true, "127.9.9.9": true, "localhost:5000": true, "[::1]:5000": true, "192.168.7.7:5000": true,
		"192.168.7.8:5000": false, "10.0.0.1": false, "example.org": false, "localhost.example.org": false,
	} {
		reached := false
		c := &call{insecure: map[string]bool{"192.168.7.7:5000": true}, next: roundTrip(func(*http.Request) (*http.Response, error) {
			reached = true
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/v2/", nil)
		must(t, err)
		_, err = c.RoundTrip(req)
		if reached != want || want != (err == nil) || !want && !errors.Is(err, errPlain) {
			t.Errorf("http to %s: reached %t, %v", host, reached, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func FuzzResolveReference(f *testing.F) {
	f.Add("shop:1")
	f.Add("127.0.0.1:1/shop@sha256:" + strings.Repeat("0", 64))
	f.Add("\xff:\x00")
	r, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		if parsed, err := r.parse(ref); err == nil && parsed.Context().RegistryStr() == "" {
			t.Errorf("%q has no registry", ref)
		}
	})
}
