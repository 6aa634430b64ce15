package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func indexOf(words []string, word, what string) (int, error) {
	if i := slices.Index(words, word); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("parse %s: unknown word %q", what, word)
}

// repository is an image reference without its tag and digest.
func repository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		return ref[:i]
	}
	return ref
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

func has[V any](m map[string]V, key string) bool {
	_, ok := m[key]
	return ok
}
