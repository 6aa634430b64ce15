package compose

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// Build is how the image of a service is made from the exported revision.
type Build struct {
	// Name is the image's name by Compose's rules: `image`, else STACK-SERVICE.
	Name string
	// Tag names the image by everything that it is made of. Whoever has an image
	// of this name need not build it.
	Tag string
	// Required is true where there is no other way to the image: the service has
	// no `image`, or its pull_policy is build or never. Otherwise an image that is
	// published is used as it is.
	Required bool
	// Config is the service's `build`, with the values of all arguments and without
	// what is in Context.
	Config types.BuildConfig
	// Platform is os/arch[/variant], "" for the engine's own.
	Platform string
	// Context is what the builder is sent.
	Context BuildContext
}

// BuildTagPrefix begins the Tag of every Build: BuildTagPrefix + STACK/SERVICE:HASH.
const BuildTagPrefix = "davit.local/build/"

// ImageRef is the name of the service's image: `image`, else, for one that is
// built, the name that Compose gives it.
func (s Service) ImageRef() string {
	if s.Config.Image == "" && s.Build != nil {
		return s.Build.Name
	}
	return s.Config.Image
}

// errBuildKit is what the engine's own builder, the one that needs nothing beside
// the engine's API, cannot do.
var errBuildKit = errors.New("needs BuildKit, which the engine's API alone does not reach: build the image elsewhere and write `image`")

// findBuilds are the builds of the enabled services by name. Their tags are made of
// the hashed twin, so that DAVIT_ variables alone build nothing anew.
func (l *loading) findBuilds(real, hashed *rendering) map[string]*Build {
	all := map[string]*Build{}
	for _, name := range slices.Sorted(maps.Keys(real.model.Services)) {
		s := real.model.Services[name]
		if s.Build == nil {
			continue
		}
		b, err := l.build(s, hashed.model.Services[name])
		switch key := "services." + name + ".build"; {
		case err == nil:
			all[name] = b
		case required(s):
			l.problem(key, err)
		default:
			l.note(key, "is not used, only the image is: "+err.Error())
		}
	}
	return all
}

// What stands for a build in the tree that is hashed: a build that makes the
// service's image makes its containers what they are, one that is only there in
// case the image is not published does not.
const (
	builtKey    = "built"
	fallbackKey = "built_if_missing"
)

// sumBuilds lets the builds count in the tree that is hashed.
func (l *loading) sumBuilds(tree map[string]any) {
	for name, b := range l.builds {
		key := fallbackKey
		if b.Required {
			key = builtKey
		}
		below(below(tree, "services"), name)[key] = b.Tag
	}
}

// required reports whether the service's image can be had in no other way.
func required(s types.ServiceConfig) bool {
	return s.Image == "" || s.PullPolicy == types.PullPolicyBuild || s.PullPolicy == types.PullPolicyNever
}

func (l *loading) build(s, masked types.ServiceConfig) (*Build, error) {
	if err := l.options.Policy.RefuseBuild(l.stack.Name); err != nil {
		return nil, err
	}
	if name := l.stack.Name + "-" + s.Name; s.Image == "" && !imagePath.MatchString(name) {
		return nil, fmt.Errorf("the image would be called %s, which no image can be: write `image`", name)
	}
	platform, err := buildable(s)
	if err != nil {
		return nil, err
	}
	l.buildNotes("services."+s.Name+".build", s.Build)
	b := &Build{Name: cmp.Or(s.Image, l.stack.Name+"-"+s.Name), Required: required(s), Config: *s.Build, Platform: platform}
	if b.Context, err = l.context(s.Build); err != nil {
		return nil, err
	}
	spec := *masked.Build
	spec.Context, spec.Dockerfile, spec.Extensions = "", "", nil
	sum := sum(l.options.Key, map[string]any{"spec": spec, "platform": platform, "context": b.Context.Digest})
	b.Tag = fmt.Sprintf("%s%s/%s:%.32s", BuildTagPrefix, ImagePath(l.stack.Name), ImagePath(s.Name), sum)
	b.Config.Context, b.Config.Dockerfile = "", ""
	return b, nil
}

// buildable refuses what only BuildKit does, by name, and returns the platform to
// build for.
func buildable(s types.ServiceConfig) (platform string, err error) {
	b := s.Build
	for key, asked := range map[string]bool{
		"additional_contexts": len(b.AdditionalContexts) > 0,
		"entitlements":        len(b.Entitlements) > 0,
		"no_cache_filter":     len(b.NoCacheFilter) > 0,
		"privileged":          b.Privileged,
		"secrets":             len(b.Secrets) > 0,
		"ssh":                 len(b.SSH) > 0,
	} {
		if asked {
			return "", fmt.Errorf("%s %w", key, errBuildKit)
		}
	}
	switch {
	case s.Platform != "":
		return s.Platform, nil
	case len(b.Platforms) > 1:
		return "", fmt.Errorf("several platforms at once: %w", errBuildKit)
	case len(b.Platforms) == 1:
		return b.Platforms[0], nil
	}
	return "", nil
}

// buildNotes remark on what the engine's own builder does without.
func (l *loading) buildNotes(key string, b *types.BuildConfig) {
	for name, said := range map[string]bool{
		"cache_to":   len(b.CacheTo) > 0,
		"provenance": b.Provenance != "" && b.Provenance != "false",
		"sbom":       b.SBOM != "" && b.SBOM != "false",
	} {
		if said {
			l.note(join(key, name), "has no effect: it needs BuildKit")
		}
	}
}

// imagePath is what an image reference allows between two slashes, within reason.
var imagePath = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)

// ImagePath is name as a part of an image reference. Compose allows names that
// Docker does not allow there, such as "Web" and "web_"; they stay apart by a
// checksum.
func ImagePath(name string) string {
	if imagePath.MatchString(name) && len(name) <= 64 {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "x-" + hex.EncodeToString(sum[:8])
}

// buildPaths reports paths of a service's `build` that lead out of the repository
// or are remote.
func (s *survey) buildPaths(d *document, key string, build any) {
	b, _ := build.(map[string]any)
	context, base := text(b["context"]), d.base
	if dir, ok := build.(string); ok {
		context = dir
	}
	report := func(key, name string, err error) {
		s.problems.add(d.problem(key, fmt.Errorf("%q %w", name, err)))
	}
	if context != "" {
		dir, err := inRepository(s.export, base, context)
		if err != nil {
			report(key, context, err)
			return
		}
		base = dir
	}
	if file := text(b["dockerfile"]); file != "" {
		if _, err := inRepository(s.export, base, file); err != nil {
			report(key+".dockerfile", file, err)
		}
	}
}
