package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// errUnweighable is why a table cannot share out what is new as it was asked to.
var errUnweighable = errors.New("the edge cannot weigh")

// Weighed is t after the shift of a percentage to canaries, with to being the members
// for s.To. It is an error where nobody would get the rest: a share of what nobody else
// gets is all of it.
func (t EdgeTable) Weighed(stack, service string, s Shift, to []Member, now time.Time) (EdgeTable, error) {
	out := t.Shifted(stack, service, s, to, now)
	r, _ := out.Route(stack, service)
	canary := map[string]bool{}
	for _, m := range to {
		canary[m.Container] = true
	}
	weights, err := shares(r.Members, canary, s.Weight)
	if err != nil {
		return t, fmt.Errorf("give %d %% of %s to %s: %w", s.Weight, service, numbers(s.To), err)
	}
	r.Weights = weights
	if len(s.Match) > 0 {
		r.Match, r.Matched = s.Match, r.releases(canary)
	}
	return out.with(r), nil
}

// releases are those of the members that are given.
func (r Route) releases(of map[string]bool) []int64 {
	var out []int64
	for _, m := range r.Members {
		if of[m.Container] && m.Draining.IsZero() && !slices.Contains(out, m.Release) {
			out = append(out, m.Release)
		}
	}
	slices.Sort(out)
	return out
}

// shares are weights by release so that the canaries get a percentage of what is new,
// and each of them as much as the next, as the others do of the rest.
func shares(members []Member, canary map[string]bool, percent int) (map[int64]int, error) {
	counts := map[bool]map[int64]int{true: {}, false: {}}
	sizes := map[bool]int{}
	for _, m := range members {
		if m.Draining.IsZero() {
			counts[canary[m.Container]][m.Release]++
			sizes[canary[m.Container]]++
		}
	}
	if sizes[true] == 0 || sizes[false] == 0 {
		return nil, fmt.Errorf("%w: %d containers of the new release and %d others", errUnweighable, sizes[true], sizes[false])
	}
	out := map[int64]int{}
	for side, part := range map[bool]int{true: percent, false: 100 - percent} {
		for release, n := range counts[side] {
			if _, both := out[release]; both {
				return nil, fmt.Errorf("%w: release #%d made containers of both sides", errUnweighable, release)
			}
			// The sizes of both sides make whole numbers of all shares.
			out[release] = part * n * (sizes[true] * sizes[false] / sizes[side])
		}
	}
	return reduced(out), nil
}

// reduced are the same weights in the smallest numbers, or of 100 where they are of a
// part of it: those are what people think in.
func reduced(weights map[int64]int) map[int64]int {
	divisor, total := 0, 0
	for _, w := range weights {
		divisor, total = gcd(divisor, w), total+w
	}
	factor := 1
	if whole := total / divisor; 100%whole == 0 {
		factor = 100 / whole
	}
	for release, w := range weights {
		weights[release] = w / divisor * factor
	}
	return weights
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// share is the percentage of what is new that those of r's members get that are chosen;
// 0 where r does not weigh.
func (r Route) share(chosen func(Member) bool) int {
	releases, total, part := map[int64]bool{}, 0, 0
	for _, m := range r.Members {
		if m.Draining.IsZero() && chosen(m) {
			releases[m.Release] = true
		}
	}
	for release, w := range r.Weights {
		if total += w; releases[release] {
			part += w
		}
	}
	if total == 0 {
		return 0
	}
	return (100*part + total/2) / total
}

// Retreated is t with nothing new for the containers of a service that are given, and
// all of it for the others, where there are any; a side that is not there gets nothing.
func (t EdgeTable) Retreated(stack, service string, from []Replica, s Shift, now time.Time) EdgeTable {
	r, _ := t.Route(stack, service)
	leaving := func(m Member) bool {
		return slices.ContainsFunc(from, func(c Replica) bool { return c.ID == m.Container })
	}
	stays := func(m Member) bool { return m.Draining.IsZero() && !leaving(m) }
	if len(r.Weights) == 0 || !slices.ContainsFunc(r.Members, stays) {
		return t
	}
	s.Ports, s.From, s.To, s.Weight = r.Ports, from, nil, 0
	return t.Shifted(stack, service, s, nil, now)
}

// releasesOf names releases: "#4", or "#4 and #5".
func releasesOf(seqs []int64) string {
	text := ""
	set := map[int64]bool{}
	for _, seq := range seqs {
		set[seq] = true
	}
	for i, seq := range slices.Sorted(maps.Keys(set)) {
		switch {
		case i == 0:
		case i == len(set)-1:
			text += " and "
		default:
			text += ", "
		}
		text += fmt.Sprintf("#%d", seq)
	}
	return text
}
