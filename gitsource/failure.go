package gitsource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/skeema/knownhosts"

	"davit/reconcile"
)

// outside is an error whose text others wrote.
type outside struct{ err error }

func (o outside) Error() string { return clean(o.err.Error(), 300) }
func (o outside) Unwrap() error { return o.err }

// deadline ends an operation that takes longer than limit.
type deadline struct {
	what  string // the operation, such as "list"
	limit time.Duration
}

// failure says what err, met by the operation under ctx, means to the loop.
func (s *Source) failure(ctx context.Context, d deadline, err error) error {
	what := d.what + " " + s.address.String()
	var later *laterError
	var stalled *reconcile.Stalled
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s: not done within %s: %w", what, d.limit, context.DeadlineExceeded)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, ctx.Err())
	case errors.As(err, &later):
		return &reconcile.Waiting{After: later.after, Reason: what, Err: later}
	case errors.As(err, &stalled), errors.Is(err, errDamaged), errors.Is(err, errNotOurRef):
		return fmt.Errorf("%s: %w", what, err)
	}
	if hint, cause := s.verdict(err); cause != nil {
		return reconcile.WithHint(&reconcile.Stalled{Reason: what, Err: cause}, "%s", hint)
	}
	return fmt.Errorf("%s: %w", what, outside{err})
}

// verdict recognises the errors that no retry mends. What the server wrote is
// left out: an error page helps nobody and may repeat what it was sent.
func (s *Source) verdict(err error) (hint string, cause error) {
	status, _ := httpStatus(err)
	switch {
	case errors.Is(err, ErrRedirect):
		return "use the repository's new address", outside{err}
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return "push a commit", ErrEmptyRepository
	case errors.Is(err, transport.ErrRepositoryNotFound), status == http.StatusGone:
		return "check the address, and that the credentials may read the repository; many servers say this to those who may not", ErrRepositoryNotFound
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed),
		strings.Contains(err.Error(), "ssh: unable to authenticate"):
		return s.accessHint(), ErrAuth
	case knownhosts.IsHostKeyChanged(err):
		return "somebody may be listening in; if the server's owner confirms the new key, replace its line in the known_hosts file",
			fmt.Errorf("%w: the server's key is not the known one", ErrHostKey)
	case knownhosts.IsHostUnknown(err):
		return "add its key, as its owner publishes it, to the known_hosts file",
			fmt.Errorf("%w: the server is not in the known_hosts file", ErrHostKey)
	}
	return "", nil
}

func (s *Source) accessHint() string {
	a := s.options.Auth
	switch {
	case s.address.scheme == schemeSSH:
		return "add the key as a deploy key of the repository, read-only"
	case a.TokenFile == "" && a.PasswordFile == "":
		return "name a token file if the repository is private; many servers say this of repositories that do not exist, too"
	}
	return "check that the token or password is still valid and may read the repository"
}
