package gitsource

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"davit/reconcile"
)

// What only a human or a push can mend. Poll returns each inside a
// reconcile.Stalled.
var (
	ErrRepositoryNotFound = errors.New("repository not found")
	ErrEmptyRepository    = errors.New("repository has no commits")
	ErrBranchGone         = errors.New("branch does not exist")
	ErrTagGone            = errors.New("tag does not exist")
	ErrNoMatchingTag      = errors.New("no tag matches")
	ErrCommitUnreachable  = errors.New("commit cannot be fetched")
	// ErrAuth: the server refused the credentials, or wants some.
	ErrAuth = errors.New("access denied")
	// ErrHostKey: the SSH server's key is not the one in the known_hosts file.
	ErrHostKey = errors.New("host key not trusted")
	// ErrCredentials: a credentials file cannot be used.
	ErrCredentials = errors.New("credentials unusable")
	// ErrRedirect: the server redirects to a place where the credentials must not go.
	ErrRedirect = errors.New("redirect refused")
	// ErrTreeRefused: the commit's files must not or cannot be written.
	ErrTreeRefused = errors.New("tree refused")
	// ErrTooLarge: the commit, or the listing, exceeds one of the Limits.
	ErrTooLarge = errors.New("limit exceeded")
)

var (
	// errDamaged marks objects that are missing or not what their hash says. A
	// fresh fetch may mend it.
	errDamaged = errors.New("repository data damaged")
	// errNotOurRef marks a server that does not give out the wanted object, most
	// often because the reference moved since it was listed.
	errNotOurRef = errors.New("server does not offer the object")
)

// stalled wraps cause so that it is not retried before something changes.
func stalled(cause error, format string, args ...any) error {
	return &reconcile.Stalled{Reason: fmt.Sprintf(format, args...), Err: cause}
}

// diskError marks an error of the local disk that says it is full, once.
func diskError(err error) error {
	if errors.Is(err, reconcile.ErrDiskFull) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", reconcile.ErrDiskFull, err)
	}
	return err
}

// clean makes text from outside fit for one line of a log: at most limit bytes,
// valid UTF-8, no control characters.
func clean(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	text = strings.TrimSpace(text)
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
