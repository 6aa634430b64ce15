package gitsource

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// remote is one conversation with a repository: its listing, and then at most
// one fetch of something that was listed.
type remote interface {
	list(ctx context.Context) (listing, error)
	fetch(ctx context.Context, w want) (storer.EncodedObjectStorer, error)
	io.Closer
}

// want is one fetch.
type want struct {
	object plumbing.Hash
	depth  int
	dir    string // where the objects may be stored
	limits Limits
}

// dial begins a conversation. The context bounds no more than the beginning.
func (s *Source) dial(ctx context.Context) (remote, error) {
	if s.address.scheme == schemeLocal {
		return openLocal(s.address.path)
	}
	keys, err := s.options.Auth.read()
	if err != nil {
		return nil, err
	}
	if s.address.scheme == schemeSSH {
		session, err := dialSSH(ctx, s.address, keys)
		if err != nil {
			return nil, err
		}
		return &wire{session: session}, nil
	}
	return dialHTTP(s.address, keys, s.options.Limits)
}

// wire is a remote behind Git's pack protocol. It speaks to go-git's session
// directly: its Remote would look the transport up in a global table, store the
// references that it lists, and ignore the context over SSH.
type wire struct {
	session transport.UploadPackSession
	adverts *packp.AdvRefs
	onClose func()
}

func (w *wire) list(ctx context.Context) (listing, error) {
	ar, err := w.session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return listing{}, err
	}
	w.adverts = ar
	return listAdvertised(ar)
}

func (w *wire) fetch(ctx context.Context, wanted want) (storer.EncodedObjectStorer, error) {
	req := packp.NewUploadPackRequestFromCapabilities(w.adverts.Capabilities)
	req.Wants = []plumbing.Hash{wanted.object}
	if w.adverts.Capabilities.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(wanted.depth)
		if err := req.Capabilities.Set(capability.Shallow); err != nil {
			return nil, fmt.Errorf("ask for a shallow pack: %w", err)
		}
	}
	res, err := w.session.UploadPack(ctx, req)
	if err != nil {
		return nil, offered(err)
	}
	defer res.Close() // the pack has been read or is of no use
	store, err := storePack(ctx, demultiplex(res, req.Capabilities), wanted)
	return store, offered(err)
}

// offered marks the error of a server that does not give out what was wanted.
// The protocol says so in words only, and at whatever point it has reached.
func offered(err error) error {
	if err != nil && (strings.Contains(err.Error(), "not our ref") || strings.Contains(err.Error(), "unadvertised object")) {
		return fmt.Errorf("%w: %w", errNotOurRef, err)
	}
	return err
}

// demultiplex takes progress messages and errors out of the pack's stream.
func demultiplex(r io.Reader, caps *capability.List) io.Reader {
	switch {
	case caps.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case caps.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}

func (w *wire) Close() error {
	err := w.session.Close()
	if w.onClose != nil {
		w.onClose()
	}
	return err
}
