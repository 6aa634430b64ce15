package reconcile

import (
	"strings"
	"time"

	"davit/compose"
)

// Image is what is known of the image that one service runs. What a reference
// resolves to is pinned once per release.
type Image struct {
	// Ref is the reference as the compose file writes it.
	Ref string `json:"ref"`
	// Digest is the registry's digest, "sha256:…"; "" where no registry answered.
	Digest string `json:"digest,omitempty"`
	// ID is the engine's image ID, "sha256:…"; "" while the image has not been
	// pulled and the registry could not tell.
	ID string `json:"id,omitempty"`
	// Volumes are the paths of the image's VOLUME instructions, sorted.
	Volumes []string `json:"volumes,omitempty"`
	// Healthcheck is true when the image itself declares a health check.
	Healthcheck bool `json:"healthcheck,omitempty"`
	// Platform is os/arch[/variant] where a service asks for one; of an image that
	// the engine was asked for, what it is made for.
	Platform string `json:"platform,omitempty"`
	// Resolved is when the registry was last asked what Ref means, for an image that
	// is to be asked for again; else zero.
	Resolved time.Time `json:"resolved,omitzero"`
	// Built is the Tag of the build that made the image; "" for one that was not
	// built here.
	Built string `json:"built,omitempty"`
	// Build is how the image is made, for one that Built names.
	Build *compose.Build `json:"-"`
	// Local is true when the engine has it now. It is a fact of the moment and
	// is not recorded.
	Local bool `json:"-"`
}

// Pinned is the reference that means exactly this image: repository@digest where
// a digest is known, else the ID.
func (i Image) Pinned() string {
	if i.Digest != "" {
		return repository(i.Ref) + "@" + i.Digest
	}
	return i.ID
}

// Same reports whether both are known to be one image.
func (i Image) Same(o Image) bool {
	if i.ID != "" && o.ID != "" {
		return i.ID == o.ID
	}
	return i.Digest != "" && i.Digest == o.Digest
}

// other reports whether both are known not to be one image.
func (i Image) other(o Image) bool {
	if i.ID != "" && o.ID != "" {
		return i.ID != o.ID
	}
	return i.Digest != "" && o.Digest != "" && i.Digest != o.Digest
}

// exact reports whether ref, under which the engine has the image, names its
// content, so that no registry could tell anything else.
func (i Image) exact(ref string) bool {
	_, digest, ok := strings.Cut(ref, "@")
	return ok && (i.Digest == digest || i.ID == digest)
}

// unbuilt reports whether the image has to be built before it can be used.
func (i Image) unbuilt() bool { return i.Build != nil && !i.Local }

// Short is the image as a plan prints it: the last path element of its name and
// the first digits of its digest, or its tag where no digest is known.
func (i Image) Short() string {
	name := repository(i.Ref)
	name = name[strings.LastIndex(name, "/")+1:]
	if i.Digest != "" {
		return name + "@" + shortDigest(i.Digest)
	}
	return i.Ref[strings.LastIndex(i.Ref, "/")+1:]
}

func shortDigest(d string) string {
	if algorithm, hex, ok := strings.Cut(d, ":"); ok && len(hex) > 7 {
		return algorithm + ":" + hex[:7]
	}
	return d
}
