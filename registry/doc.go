// Package registry asks container registries what an image reference means right
// now: the digest to pull by, and the few facts of the image that planning needs.
// It moves no layers; the engine pulls.
//
// A registry is asked once per call and never again within it: the reconcile loop
// owns retrying. An answer is one of four kinds. The image is there; it is not
// (reconcile.ErrImageMissing), which time may change; access was refused
// (reconcile.ErrRegistryDenied), which only a human changes; or the registry made
// no sense or no sound (reconcile.ErrRegistryUnavailable), as reconcile.Waiting
// where it said when to come back.
//
// Credentials come from a Docker configuration directory and its credential
// helpers, read at every call, so that a rotated login is used at once. They
// travel over https, except to this machine and to registries that were named
// as insecure.
package registry
