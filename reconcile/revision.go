package reconcile

import "time"

// Revision is one resolved commit of a source.
type Revision struct {
	// Source names where it came from: the repository's URL without userinfo, or
	// a directory.
	Source string
	// Ref is what the selector chose: a branch ("main"), a tag ("v1.2.3") or "".
	Ref string
	// Commit is the commit's id in hex, peeled if Ref is an annotated tag.
	Commit string
	// Tag is the highest semver tag on the commit, prefix included; "" without one.
	Tag string
	// Version is Tag's semantic version with its v, or a pseudo-version
	// "v1.2.4-0.20261121045800-9d10e44abcde" after the last known tag.
	Version string
	// Author, Subject and Time are the commit's.
	Author, Subject string
	Time            time.Time
	// Fetched is when the source was last listed with this result.
	Fetched time.Time
	// Dir is the exported tree.
	Dir string
}

// String is the revision in the form "main@sha1:9d10e44…", whole.
func (r Revision) String() string {
	switch {
	case r.Commit == "": // a directory outside of Git
		return r.Ref
	case r.Ref == "":
		return "sha1:" + r.Commit
	}
	return r.Ref + "@sha1:" + r.Commit
}

// Short is String with seven digits of the commit, for people.
func (r Revision) Short() string {
	s := r
	if len(s.Commit) > 7 {
		s.Commit = s.Commit[:7]
	}
	return s.String()
}
