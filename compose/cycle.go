package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Cycles are the circles in needs, which says by name what each stack waits for:
// for every stack that is part of one, an error that names the whole circle.
func Cycles(needs map[string][]string) map[string]error {
	found := map[string]error{}
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		if circle := circleThrough(name, needs); circle != nil {
			found[name] = fmt.Errorf("stacks wait for each other: %s", strings.Join(circle, " -> "))
		}
	}
	return found
}

// circleThrough is the shortest way from a stack back to itself, nil when there is
// none.
func circleThrough(name string, needs map[string][]string) []string {
	from := map[string]string{}
	for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
		for _, next := range slices.Sorted(slices.Values(needs[queue[0]])) {
			if next == name {
				circle := []string{name}
				for at := queue[0]; at != name; at = from[at] {
					circle = append(circle, at)
				}
				circle = append(circle, name)
				slices.Reverse(circle)
				return circle
			}
			if _, seen := from[next]; !seen {
				from[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// CycleProblems are the circles among projects, at each stack that is part of one.
func CycleProblems(projects []*Project) []*Problem {
	needs := map[string][]string{}
	for _, p := range projects {
		needs[p.Name] = p.Settings.DependsOn
	}
	var found []*Problem
	circles := Cycles(needs)
	for _, p := range projects {
		if err := circles[p.Name]; err != nil {
			found = append(found, &Problem{File: p.Files[0], Key: "depends_on", Err: err})
		}
	}
	return found
}
