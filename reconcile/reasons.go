package reconcile

import (
	"fmt"
	"strings"
	"time"

	"davit/compose"
)

// change says what is new about a service compared with the release before, or
// "" when nothing is.
func (p *planner) change(u *unit) string {
	if p.desired.Previous == nil {
		return ""
	}
	before, ok := p.desired.Previous.Service(u.Name)
	if !ok {
		return ""
	}
	var parts []string
	if !before.Image.Same(u.image) {
		parts = append(parts, imageChange(before.Image, u.image))
	}
	if before.Spec != u.Hash {
		parts = append(parts, p.configurationChange(u, len(parts) == 0)...)
	}
	return strings.Join(parts, ", ")
}

// named is how many differences a reason names before it only counts them.
const named = 3

// configurationChange names what is different in a service's configuration. Where
// the files of the release before are not on record nobody knows; where nothing is
// found it says so only if there is no other reason.
func (p *planner) configurationChange(u *unit, only bool) []string {
	before := p.desired.PreviousProject
	if before == nil {
		return []string{"configuration changed"}
	}
	found := compose.Differences(before, p.project, u.Name, p.desired.Show)
	switch more := len(found) - named; {
	case len(found) == 0 && only:
		return []string{"configuration changed"}
	case more > 0:
		return append(found[:named-1:named-1], fmt.Sprintf("%s and %d more", found[named-1], more))
	}
	return found
}

func imageChange(before, after Image) string {
	switch {
	case after.Built != "" && before.Built != "":
		return "context changed"
	case after.Built != "":
		return "image is built here now"
	case before.Ref == after.Ref:
		return "image changed behind " + after.Short()
	case repository(before.Ref) == repository(after.Ref):
		return fmt.Sprintf("image tag %s -> %s", tagOf(before.Ref), tagOf(after.Ref))
	}
	return fmt.Sprintf("image %s -> %s", before.Ref, after.Ref)
}

// tagOf is the part of a reference behind its name.
func tagOf(ref string) string {
	rest := strings.TrimPrefix(ref, repository(ref))
	if rest == "" {
		return "latest"
	}
	if strings.HasPrefix(rest, "@") {
		return shortDigest(rest[1:])
	}
	tag, _, _ := strings.Cut(rest[1:], "@")
	return tag
}

func (p *planner) pullReason(u *unit) string {
	if change := p.change(u); strings.HasPrefix(change, "image") {
		reason, _, _ := strings.Cut(change, ", ")
		return reason
	}
	return "not on this host"
}

func (p *planner) buildReason(u *unit) string {
	if change, _, _ := strings.Cut(p.change(u), ", "); change != "" && change != "configuration changed" {
		return change
	}
	return "not built on this host"
}

func (p *planner) createReason(u *unit, s slot) string {
	why := p.change(u)
	switch {
	case why != "":
	case u.because != "":
		why = u.because
	case p.desired.Previous == nil:
		why = "not running yet"
	case u.changesOwner():
		why = p.moves(u)
	case len(u.fleet.old) > 0:
		why = "runs something else"
	case p.desired.Settled:
		why = "replica missing"
	default:
		why = fmt.Sprintf("replica %d of %d", s.replica.Number, u.Replicas)
	}
	if moves := p.moves(u); moves != "" && moves != why {
		why += "; " + moves
	}
	if len(u.fleet.old) > 0 {
		why += "; " + u.rules.String()
	}
	return why
}

func (p *planner) startReason(u *unit, s slot) string {
	switch {
	case s.halt != "":
		return "again: " + s.halt
	case s.from != nil && s.from.State == Exited && !p.desired.Settled:
		return "standby returns"
	case s.from != nil && s.from.State == Exited:
		return s.from.End()
	case s.from != nil:
		return "created before, never started"
	case s.takes != nil:
		return "takes over from " + replicaOf(*s.takes).String()
	case u.OneShot:
		return "runs once per release"
	}
	return fmt.Sprintf("replica of %d", u.Replicas)
}

// brief prints a duration the way that people write it: 2m, not 2m0s.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
