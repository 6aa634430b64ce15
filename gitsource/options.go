package gitsource

import (
	"cmp"
	"log/slog"
	"time"
)

// Options say which repository to poll, what of it, and how.
type Options struct {
	// Name tells it from other sources, which may be of the same repository. A source
	// without one is the only one.
	Name string
	// URL is https://, http://, ssh:// or host:path as SSH writes it, an absolute
	// path, or file://. It never holds a password.
	URL string
	// Selector chooses the commit.
	Selector Selector
	// Data is the directory below which exports are kept, in sources/.
	Data string
	// Auth names the files that hold credentials.
	Auth Auth
	// ListTimeout bounds asking for the references, FetchTimeout fetching one
	// commit, whatever the transport. Defaults: 30 and 120 seconds.
	ListTimeout, FetchTimeout time.Duration
	Limits                    Limits
	// Log receives what is worth knowing and no error: skipped submodules, an
	// export that had to be made again. Nil for none.
	Log *slog.Logger
}

// Auth names files, not secrets: they are read at every poll, so that a rotated
// credential is used at once.
type Auth struct {
	// TokenFile holds an access token, for https. Username goes with it, by
	// default "x-access-token".
	TokenFile string
	// Username and PasswordFile are basic authentication, or an SSH password.
	Username, PasswordFile string
	// SSHKeyFile holds a private key, PassphraseFile what unlocks it.
	SSHKeyFile, PassphraseFile string
	// KnownHostsFile lists the SSH servers' keys. It is required for SSH: no
	// other place is consulted and no key is ever learnt.
	KnownHostsFile string
	// CAFile holds certificates in PEM form to be trusted for https besides the
	// system's.
	CAFile string
}

// Limits bound what a repository may cost. A zero means the default.
type Limits struct {
	// Pack is the most bytes that one fetch may transfer. Default 256 MiB.
	Pack int64
	// Bytes is the most that all files of a commit may hold together. Default
	// 512 MiB.
	Bytes int64
	// File is the most that one file may hold. Default 64 MiB.
	File int64
	// Files is how many files and directories a commit may have. Default 10 000.
	Files int
	// Depth is how many directories a path may be deep. Default 32.
	Depth int
}

const (
	defaultListTimeout  = 30 * time.Second
	defaultFetchTimeout = 2 * time.Minute

	mebi = 1 << 20
	// maxListing bounds the listing in bytes: about 200 000 references.
	maxListing = 16 * mebi
	// maxRefs bounds the listing in references.
	maxRefs = 200_000
	// maxCommit and maxTree bound the two kinds of object that are not files.
	maxCommit = mebi
	maxTree   = 8 * mebi
	// keepExports is how many exports are kept, the current one included.
	keepExports = 3
)

func (o Options) withDefaults() Options {
	o.ListTimeout = cmp.Or(o.ListTimeout, defaultListTimeout)
	o.FetchTimeout = cmp.Or(o.FetchTimeout, defaultFetchTimeout)
	o.Limits.Pack = cmp.Or(o.Limits.Pack, 256*mebi)
	o.Limits.Bytes = cmp.Or(o.Limits.Bytes, 512*mebi)
	o.Limits.File = cmp.Or(o.Limits.File, 64*mebi)
	o.Limits.Files = cmp.Or(o.Limits.Files, 10_000)
	o.Limits.Depth = cmp.Or(o.Limits.Depth, 32)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}
