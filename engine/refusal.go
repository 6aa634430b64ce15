package engine

import (
	"errors"
	"fmt"
	"strings"

	"davit/reconcile"
)

// refusal sorts what the engine says of a registry. It passes the registry's
// words on as text only, so text is what there is to sort by; the first line
// that matches counts.
func refusal(err error, ref string) error {
	for _, known := range []error{reconcile.ErrEngineUnavailable, reconcile.ErrDiskFull} {
		if errors.Is(err, known) {
			return err
		}
	}
	for _, kind := range []struct {
		sentinel error
		hint     string
		phrases  []string
	}{
		{reconcile.ErrRegistryUnavailable, "the registry limits how often it is asked; log in, or use a mirror", []string{
			"toomanyrequests", "too many requests", "rate limit"}},
		{reconcile.ErrRegistryUnavailable, `the registry speaks plain HTTP: list it under "insecure-registries" in daemon.json`, []string{
			"server gave http response to https client"}},
		{reconcile.ErrRegistryDenied, "check the repository's name and the credentials (docker login)", []string{
			"unauthorized", "authentication required", "no basic auth credentials", "access denied", "access to the resource is denied",
			"forbidden", "denied:"}},
		{reconcile.ErrImageMissing, "check that the image was pushed for this platform, under exactly this name", []string{
			"manifest unknown", "not found", "name unknown", "no matching manifest", "does not exist"}},
		{reconcile.ErrRegistryUnavailable, "check that this host reaches the registry", []string{
			"connection refused", "no such host", "timeout", "deadline exceeded", "tls handshake", "x509", "eof", "connection reset",
			"network is unreachable", "no route to host", "unexpected http status", "server error", "bad gateway", "service unavailable",
			"context canceled", "request canceled", "temporary failure", "server misbehaving"}},
	} {
		text := strings.ToLower(err.Error())
		for _, p := range kind.phrases {
			if strings.Contains(text, p) {
				return reconcile.WithHint(fmt.Errorf("%w: %s: %w", kind.sentinel, ref, err), "%s", kind.hint)
			}
		}
	}
	return err
}
