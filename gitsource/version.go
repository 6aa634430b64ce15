package gitsource

import (
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// maxTag is how long, in bytes, a tag may be and still be read as a version.
const maxTag = 128

// versionTag is a tag that is a semantic version.
type versionTag struct {
	name    string // prefix included
	commit  string
	version *semver.Version
}

// parseTag reads a tag strictly: "1.2.3" or "v1.2.3" after the prefix. Lenient
// forms are refused because "v1" and "2024" are rarely meant as releases.
func parseTag(name, prefix string) (*semver.Version, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok || len(name) > maxTag {
		return nil, false
	}
	v, err := semver.StrictNewVersion(strings.TrimPrefix(rest, "v"))
	return v, err == nil
}

func versionTags(tags map[string]string, prefix string) []versionTag {
	var out []versionTag
	for name, commit := range tags {
		if v, ok := parseTag(name, prefix); ok {
			out = append(out, versionTag{name: name, commit: commit, version: v})
		}
	}
	return out
}

// highest is the highest version that match accepts. Build metadata does not
// count in comparisons, so equal versions are told apart by name, which also
// prefers "v1.2.3" to "1.2.3".
func highest(tags []versionTag, match func(versionTag) bool) (versionTag, bool) {
	var best versionTag
	for _, t := range tags {
		if !match(t) {
			continue
		}
		if best.version == nil || t.version.GreaterThan(best.version) ||
			t.version.Equal(best.version) && t.name > best.name {
			best = t
		}
	}
	return best, best.version != nil
}

// name gives the commit that was picked its tag and version. The tag that the
// selector chose is its name; otherwise the highest version tag on it; without
// one it is named after the highest version tag of the repository.
func (p picked) name(l listing, prefix string, committed time.Time) (tag, version string) {
	tags := versionTags(l.tags, prefix)
	if t, ok := highest(tags, func(t versionTag) bool { return t.name == p.tag }); ok {
		return t.name, "v" + t.version.String()
	}
	if t, ok := highest(tags, func(t versionTag) bool { return t.commit == p.commit }); ok {
		return t.name, "v" + t.version.String()
	}
	last, _ := highest(tags, func(versionTag) bool { return true })
	return "", pseudoVersion(last.version, committed, p.commit)
}

// pseudoVersion names an untagged commit as Go modules do, so that it sorts
// after the version before it and before the next one.
func pseudoVersion(last *semver.Version, committed time.Time, commit string) string {
	suffix := committed.UTC().Format("20060102150405") + "-" + commit[:min(12, len(commit))]
	switch {
	case last == nil:
		return "v0.0.0-" + suffix
	case last.Prerelease() != "":
		return "v" + core(last) + "-" + last.Prerelease() + ".0." + suffix
	}
	next := last.IncPatch()
	return "v" + core(&next) + "-0." + suffix
}

// core is a version's three numbers.
func core(v *semver.Version) string {
	return semver.New(v.Major(), v.Minor(), v.Patch(), "", "").String()
}
