package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"davit/reconcile"
)

// errNoImage: what the reference names is something else, such as a chart.
var errNoImage = errors.New("not a container image")

// failure says what err means to the loop.
func (r *Resolver) failure(ctx context.Context, c *call, ref string, err error) error {
	what := "resolve image " + clean(ref)
	var stalled *reconcile.Stalled
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, ctx.Err())
	case errors.As(err, &stalled):
		stalled.Reason = what
		return stalled
	case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errLogin):
		return reconcile.WithHint(
			fmt.Errorf("%s: %w: no answer within %s: %w", what, reconcile.ErrRegistryUnavailable, r.timeout, context.DeadlineExceeded),
			"check that the registry runs and can be reached from here")
	case errors.Is(err, errPlatform):
		return reconcile.WithHint(fmt.Errorf("%s: %w: %w %s", what, reconcile.ErrImageMissing, errPlatform, r.platform),
			"build and push the image for %s, too", r.platform)
	}
	if later := c.later.Load(); later != nil {
		return &reconcile.Waiting{After: later.after, Reason: what,
			Err: fmt.Errorf("%w: it answered %d %s", reconcile.ErrRegistryUnavailable, later.status, http.StatusText(later.status))}
	}
	hint, kind := verdict(err)
	return reconcile.WithHint(fmt.Errorf("%s: %w: %w", what, kind, outside{err}), "%s", hint)
}

// verdict is the kind of an error that a registry, or the way to it, caused.
func verdict(err error) (hint string, kind error) {
	var answer *transport.Error
	switch {
	case errors.Is(err, errLogin) && errors.Is(err, context.DeadlineExceeded):
		return "run the credential helper by hand and see what it waits for", reconcile.ErrRegistryUnavailable
	case errors.Is(err, errLogin):
		return "repair the Docker configuration, or log in again with docker login", reconcile.ErrRegistryDenied
	case errors.Is(err, errPlain):
		return "serve the registry over https, or name it as insecure", reconcile.ErrRegistryUnavailable
	}
	if errors.As(err, &answer) {
		says := func(codes ...transport.ErrorCode) bool {
			return slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool { return slices.Contains(codes, d.Code) })
		}
		switch {
		case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden,
			says(transport.UnauthorizedErrorCode, transport.DeniedErrorCode):
			return "log in with docker login on this host; many registries say this of images that do not exist, too",
				reconcile.ErrRegistryDenied
		case answer.StatusCode == http.StatusNotFound,
			says(transport.ManifestUnknownErrorCode, transport.NameUnknownErrorCode, transport.ManifestBlobUnknownErrorCode):
			return "push the image, or correct its name", reconcile.ErrImageMissing
		}
	}
	return "check that the registry runs and can be reached from here", reconcile.ErrRegistryUnavailable
}

// outside is an error whose text others wrote.
type outside struct{ err error }

func (o outside) Error() string { return clean(o.err.Error()) }
func (o outside) Unwrap() error { return o.err }

const maxText = 300 // bytes

// clean makes text from outside fit for one line of a log.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}
