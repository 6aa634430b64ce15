package engine

import (
	"fmt"
	"runtime"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// platform parses os[/arch[/variant]], or an architecture alone, as the docker
// command does; nil for "". Other names of an architecture are taken for its own.
func platform(s string) (*ocispec.Platform, error) {
	if s == "" {
		return nil, nil
	}
	parts := strings.Split(strings.ToLower(s), "/")
	if len(parts) > 3 || parts[0] == "" {
		return nil, fmt.Errorf("platform %q: want os/arch or os/arch/variant", s)
	}
	p := &ocispec.Platform{OS: parts[0]}
	switch len(parts) {
	case 1:
		p.OS, p.Architecture = "linux", parts[0]
		if parts[0] == "linux" || parts[0] == "windows" {
			p.OS, p.Architecture = parts[0], runtime.GOARCH
		}
	case 2:
		p.Architecture = parts[1]
	case 3:
		p.Architecture, p.Variant = parts[1], parts[2]
	}
	p.Architecture, p.Variant = architecture(p.Architecture, p.Variant)
	switch {
	case p.Architecture == "arm64" && p.Variant == "" && len(parts) == 3:
		p.Variant = "v8"
	case p.Architecture == "arm" && p.Variant == "v7" && len(parts) < 3:
		p.Variant = ""
	}
	return p, nil
}

// architecture is the engine's own name of an architecture and its variant.
func architecture(name, variant string) (string, string) {
	switch name {
	case "i386":
		return "386", ""
	case "x86_64", "x86-64", "amd64":
		if variant == "v1" {
			variant = ""
		}
		return "amd64", variant
	case "aarch64", "arm64":
		switch variant {
		case "8", "v8", "v8.0":
			variant = ""
		case "9", "9.0", "v9.0":
			variant = "v9"
		}
		return "arm64", variant
	case "armhf":
		return "arm", "v7"
	case "armel":
		return "arm", "v6"
	case "arm":
		if variant == "" {
			variant = "7"
		}
		return "arm", "v" + strings.TrimPrefix(variant, "v")
	}
	return name, variant
}
