package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"davit/reconcile"
)

// Options say how registries are asked.
type Options struct {
	// ConfigDir is the directory of Docker's config.json, with logins and
	// credential helpers. Empty for anonymous access; the environment is not
	// consulted.
	ConfigDir string
	// Timeout bounds one Resolve, credential helper included. Default 30 seconds.
	Timeout time.Duration
	// Platform chooses from images made for several, as "os/arch[/variant]".
	// Default linux on this processor.
	Platform string
	// Insecure lists registries, host or host:port, that may be spoken to over
	// plain http. This machine's own always may.
	Insecure []string
}

// Resolver resolves image references. It is safe for concurrent use.
type Resolver struct {
	logins    logins
	timeout   time.Duration
	platform  v1.Platform
	insecure  map[string]bool
	transport *http.Transport
}

const defaultTimeout = 30 * time.Second

// New checks the options. It speaks to no registry.
func New(o Options) (*Resolver, error) {
	platform, err := v1.ParsePlatform(cmp.Or(o.Platform, "linux/"+runtime.GOARCH))
	if err != nil {
		return nil, fmt.Errorf("parse platform %q: %w", o.Platform, err)
	}
	if platform.OS == "" || platform.Architecture == "" {
		return nil, fmt.Errorf("parse platform %q: it has no operating system or no architecture", o.Platform)
	}
	r := &Resolver{
		logins:    logins{dir: o.ConfigDir},
		timeout:   cmp.Or(o.Timeout, defaultTimeout),
		platform:  *platform,
		insecure:  map[string]bool{},
		transport: http.DefaultTransport.(*http.Transport).Clone(),
	}
	r.transport.IdleConnTimeout = r.timeout
	for _, host := range o.Insecure {
		r.insecure[host] = true
	}
	return r, nil
}

// Resolve returns what ref means at its registry now. Digest is what the
// reference names, the index where the image is made for several platforms, so
// that pulling by it gives the engine the same choice; ID, Volumes and
// Healthcheck are those of the image for this platform. A reference that holds a
// digest is looked up and compared all the same. Platform, os/arch[/variant],
// chooses from images made for several; "" is the Resolver's own.
func (r *Resolver) Resolve(ctx context.Context, ref, platform string) (reconcile.Image, error) {
	asked, err := r.on(platform)
	if err != nil {
		return reconcile.Image{}, &reconcile.Stalled{Reason: "resolve image " + clean(ref), Err: err}
	}
	return asked.ask(ctx, ref)
}

// on is the Resolver for another platform.
func (r *Resolver) on(platform string) (*Resolver, error) {
	if platform == "" {
		return r, nil
	}
	parsed, err := v1.ParsePlatform(strings.ToLower(platform))
	if err != nil {
		return nil, fmt.Errorf("parse platform %q: %w", platform, err)
	}
	other := *r
	other.platform = *parsed
	return &other, nil
}

func (r *Resolver) ask(ctx context.Context, ref string) (reconcile.Image, error) {
	within, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	call := &call{insecure: r.insecure, next: r.transport}
	image, err := r.resolve(within, call, ref)
	if err != nil {
		return reconcile.Image{}, r.failure(ctx, call, ref, err)
	}
	return image, nil
}

func (r *Resolver) resolve(ctx context.Context, call *call, ref string) (reconcile.Image, error) {
	parsed, err := r.parse(ref)
	if err != nil {
		return reconcile.Image{}, &reconcile.Stalled{Err: err}
	}
	auth, err := r.logins.find(ctx, parsed.Context().RegistryStr())
	if err != nil {
		return reconcile.Image{}, err
	}
	descriptor, err := remote.Get(parsed,
		remote.WithContext(ctx), remote.WithAuth(auth), remote.WithTransport(call), remote.WithPlatform(r.platform),
		// The loop retries. These sleep without a look at the context.
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}), remote.WithRetryStatusCodes())
	if err != nil {
		return reconcile.Image{}, err
	}
	if !descriptor.MediaType.IsIndex() && !descriptor.MediaType.IsImage() {
		return reconcile.Image{}, &reconcile.Stalled{Err: fmt.Errorf("%w: its type is %q", errNoImage, clean(string(descriptor.MediaType)))}
	}
	image, err := descriptor.Image()
	if err != nil {
		return reconcile.Image{}, r.noPlatform(descriptor, err)
	}
	return facts(reconcile.Image{Ref: ref, Digest: descriptor.Digest.String()}, image)
}

// facts completes i with what the image's configuration says.
func facts(i reconcile.Image, image v1.Image) (reconcile.Image, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return i, err
	}
	if !manifest.Config.MediaType.IsConfig() {
		return i, &reconcile.Stalled{Err: fmt.Errorf("%w: its configuration is %q", errNoImage, clean(string(manifest.Config.MediaType)))}
	}
	config, err := image.ConfigFile()
	if err != nil {
		return i, err
	}
	i.ID = manifest.Config.Digest.String()
	i.Volumes = slices.Sorted(maps.Keys(config.Config.Volumes))
	if check := config.Config.Healthcheck; check != nil && len(check.Test) > 0 {
		i.Healthcheck = check.Test[0] != "NONE"
	}
	return i, nil
}

// parse reads a reference as Docker does. The client library alone would accept
// names that Docker refuses, such as "a/../b".
func (r *Resolver) parse(ref string) (name.Reference, error) {
	if _, err := reference.ParseNormalizedNamed(ref); err != nil {
		return nil, err
	}
	parsed, err := name.ParseReference(ref, name.WeakValidation)
	if err != nil {
		return nil, err
	}
	if r.insecure[parsed.Context().RegistryStr()] {
		return name.ParseReference(ref, name.WeakValidation, name.Insecure)
	}
	return parsed, nil
}

// errPlatform: the image exists, but not for this machine.
var errPlatform = errors.New("not made for this platform")

// noPlatform tells an index without a fitting image from one that failed to load.
func (r *Resolver) noPlatform(d *remote.Descriptor, err error) error {
	if !d.MediaType.IsIndex() {
		return err
	}
	index, indexErr := d.ImageIndex()
	if indexErr != nil {
		return err
	}
	manifest, indexErr := index.IndexManifest()
	if indexErr != nil {
		return err
	}
	for _, m := range manifest.Manifests {
		if m.Platform == nil || m.Platform.Satisfies(r.platform) {
			return err
		}
	}
	return errPlatform
}
