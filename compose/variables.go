package compose

import "bytes"

// Variables are what a revision gives to interpolation. An empty one is unset.
type Variables struct {
	// Version is DAVIT_VERSION, a semantic version without its v: "1.2.3".
	Version string
	// Tag is DAVIT_TAG, the tag as it was written: "v1.2.3".
	Tag string
	// Commit is DAVIT_COMMIT, the commit's id in hex.
	Commit string
	// Ref is DAVIT_REF: the branch or tag that was followed.
	Ref string
}

var variableNames = [...]string{"DAVIT_COMMIT", "DAVIT_REF", "DAVIT_TAG", "DAVIT_VERSION"}

// mapping is the variables that are set, by name.
func (v Variables) mapping() map[string]string {
	m := map[string]string{}
	for name, value := range map[string]string{
		"DAVIT_COMMIT": v.Commit, "DAVIT_REF": v.Ref, "DAVIT_TAG": v.Tag, "DAVIT_VERSION": v.Version,
	} {
		if value != "" {
			m[name] = value
		}
	}
	return m
}

// masked is what the variables are worth in a hash: the same for every revision,
// set or not.
func masked() Variables {
	return Variables{
		Version: "0.0.0",
		Tag:     "v0.0.0",
		Commit:  "0000000000000000000000000000000000000000",
		Ref:     "ref",
	}
}

// mentionsDavit is false for a file that cannot depend on the revision.
func mentionsDavit(file []byte) bool { return bytes.Contains(file, []byte("DAVIT_")) }
