package compose

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestCirclesAreNamed(t *testing.T) {
	tests := map[string]struct {
		needs map[string][]string
		want  []string
	}{
		"none":                    {map[string][]string{"a": {"b", "c"}, "b": {"c"}}, nil},
		"one of one":              {map[string][]string{"a": {"a"}}, []string{"a: a -> a"}},
		"one of two":              {map[string][]string{"a": {"b"}, "b": {"a"}}, []string{"a: a -> b -> a", "b: b -> a -> b"}},
		"those before it are not": {map[string][]string{"x": {"a"}, "a": {"b"}, "b": {"c"}, "c": {"a"}}, []string{"a: a -> b -> c -> a", "b: b -> c -> a -> b", "c: c -> a -> b -> c"}},
		"the shortest":            {map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"a"}, "d": {"a"}}, []string{"a: a -> c -> a", "b: b -> d -> a -> b", "c: c -> a -> c", "d: d -> a -> b -> d"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			found := Cycles(test.needs)
			var got []string
			for _, stack := range slices.Sorted(maps.Keys(found)) {
				got = append(got, stack+": "+strings.TrimPrefix(found[stack].Error(), "stacks wait for each other: "))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v\nwant %v", got, test.want)
			}
		})
	}
}
