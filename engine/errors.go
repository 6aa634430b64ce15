package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"davit/reconcile"
)

// explain maps what the client returned to the hub's sentinels. ctx is the
// caller's: its end is the caller's own doing, the end of a request's own
// deadline is the engine's.
func explain(ctx context.Context, err error) error {
	text := strings.ToLower(err.Error())
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()) && !errors.Is(err, reconcile.ErrEngineUnavailable):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%w (%v)", ctx.Err(), err)
	case errors.Is(err, reconcile.ErrEngineUnavailable):
		return err
	case silent(err):
		return unavailable(err)
	case noSpace(text):
		return reconcile.WithHint(fmt.Errorf("%w: %w", reconcile.ErrDiskFull, err),
			"free some space on the engine's disk (docker system df shows what uses it)")
	case noAddress(text):
		return reconcile.WithHint(err, "both generations of a stack's containers are in its networks while it is replaced: declare a larger subnet (networks.<name>.ipam.config), or replace fewer at once (deploy.update_config.parallelism)")
	case errdefs.IsNotFound(err) && strings.Contains(text, "no such container"):
		return fmt.Errorf("%w: %w", reconcile.ErrContainerMissing, err)
	case errdefs.IsNotFound(err) && strings.Contains(text, "no such image"):
		return fmt.Errorf("%w: %w", reconcile.ErrImageMissing, err)
	}
	return err
}

func unavailable(err error) error {
	return fmt.Errorf("%w: %w", reconcile.ErrEngineUnavailable, err)
}

// silent reports whether there was no answer, or only part of one.
func silent(err error) bool {
	var network net.Error
	return client.IsErrConnectionFailed(err) ||
		errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.As(err, &network)
}

// noAddress reports whether a network has an address less than is asked of it.
func noAddress(text string) bool {
	return strings.Contains(text, "no available ipv4 addresses") || strings.Contains(text, "no available ipv6 addresses")
}

func noSpace(text string) bool {
	return strings.Contains(text, "no space left on device") || strings.Contains(text, "disk quota exceeded")
}
