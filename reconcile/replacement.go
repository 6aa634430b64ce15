package reconcile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"davit/compose"
)

// Replacement is how the replicas of one service are replaced: which comes
// first, how many at once, and why.
type Replacement struct {
	StartFirst bool
	// Reason is the rule that decided, for the plan: "stateless".
	Reason string
	// Surge is how many replicas above the declared number may run, Unavailable
	// how many of them may be missing. One of them is at least 1.
	Surge, Unavailable int
	// Floor is how many stay ready whatever is done to the others; 0 for no budget.
	Floor int
	compose.Rolling
}

// Order is the decision in words: "stop-first: writes volume data".
func (r Replacement) String() string {
	if r.StartFirst {
		return "start-first: " + r.Reason
	}
	return "stop-first: " + r.Reason
}

// ReplacementOf decides how s is replaced. An explicit order is obeyed; for
// `auto` the first obstacle to two containers side by side means stop-first.
// Borrowers are the services that use namespaces or volumes of its containers.
func ReplacementOf(s compose.Service, image Image, returning bool, borrowers []string) (Replacement, error) {
	r := Replacement{Rolling: s.Settings.Update}
	if returning {
		r.Rolling = s.Settings.Rollback
	}
	obstacle := obstacleTo(s, image, borrowers)
	blueGreen := s.Settings.Strategy == compose.StrategyBlueGreen
	if blueGreen {
		obstacle = set(s, obstacle)
	}
	beside := blueGreen || s.Settings.Strategy == compose.StrategyCanary
	switch {
	case s.Settings.Strategy == compose.StrategyRecreate:
		r.Reason = "strategy recreate"
	case s.OneShot:
		// Two runs of one migration would get in each other's way.
		r.Reason = "runs alone"
	case beside && obstacle.forbids && !returning:
		return r, WithHint(fmt.Errorf("strategy %s is not possible: it %s", s.Settings.Strategy, obstacle.text), "%s", obstacle.hint)
	case beside && !obstacle.forbids:
		r.StartFirst, r.Reason = true, s.Settings.Strategy.String()
	case r.Order == compose.OrderStopFirst:
		r.Reason = "as declared"
	case r.Order == compose.OrderStartFirst && obstacle.forbids:
		return r, WithHint(fmt.Errorf("order start-first is not possible: it %s", obstacle.text), "%s", obstacle.hint)
	case r.Order == compose.OrderStartFirst:
		r.StartFirst, r.Reason = true, "as declared"
	case obstacle.text != "":
		r.Reason = obstacle.text
	case writableMount(s, image) != "":
		r.StartFirst, r.Reason = true, "concurrent writers are allowed"
	default:
		r.StartFirst, r.Reason = true, "stateless"
	}
	if err := r.resolve(s); err != nil {
		return r, err
	}
	return r, r.within(s, writableMount(s, image) != "")
}

// resolve turns amounts into numbers for the service's replicas.
func (r *Replacement) resolve(s compose.Service) error {
	n := max(s.Replicas, 1)
	switch {
	case s.Settings.Strategy == compose.StrategyRecreate:
		r.Surge, r.Unavailable = 0, n
	case !r.StartFirst:
		r.Surge, r.Unavailable = 0, min(max(r.MaxUnavailable.Down(n), r.Parallel.Down(n), 1), n)
	case s.Settings.Strategy == compose.StrategyBlueGreen:
		r.Surge, r.Unavailable = n, 0
	default:
		r.Surge, r.Unavailable = r.MaxSurge.Up(n), min(r.MaxUnavailable.Down(n), n)
		if r.Surge+r.Unavailable == 0 {
			return errors.New("max_surge and max_unavailable are both zero, so no replica could ever be replaced")
		}
	}
	return nil
}

// leaving is how many of the old replicas stop before, and how many after, the n
// new ones of a batch start, when up new ones are in service already.
//
// Stop-first makes room for every new replica, and for all of them before the
// last, since an old one may be the writer that the new one must not meet. Under a
// budget the places that are open already are filled first.
// Start-first lets go only of what the declared number does not need.
func (r Replacement) leaving(old, up, n, replicas int, last bool) (before, after int) {
	if !r.StartFirst {
		if last {
			return old, 0
		}
		open := 0
		if r.Floor > 0 {
			open = max(replicas-up-old, 0)
		}
		return max(min(n, old)-open, 0), 0
	}
	before = min(max(up+old-(replicas-r.Unavailable), 0), r.Unavailable, old)
	after = min(max(up+n+old-before-replicas, 0), old-before)
	return before, after
}

// obstacle is why two containers of a service cannot run side by side.
type obstacle struct {
	text string
	// forbids is true when even an explicit start-first would do harm or fail.
	forbids bool
	hint    string
}

// obstacleTo finds the first obstacle, in the order in which it matters to the
// operator: data before addresses before names.
func obstacleTo(s compose.Service, image Image, borrowers []string) obstacle {
	if where := writableMount(s, image); where != "" && !s.Settings.ConcurrentWriters {
		return obstacle{"writes " + where, true, "set x-davit.concurrent_writers: true if two containers may write it at once"}
	}
	if where := fixedAddress(s); where != "" {
		return obstacle{where, true, "remove the fixed address, or let the order be auto"}
	}
	if len(s.Config.Devices) > 0 {
		return obstacle{"uses device " + s.Config.Devices[0].Source, false, ""}
	}
	if s.Config.NetworkMode == "host" {
		return obstacle{"uses the host's network", true, "let the order be auto"}
	}
	if port := hostPort(s); port != "" {
		return obstacle{"publishes host port " + port + " through Docker", true, "two containers cannot publish one host port; let the order be auto"}
	}
	from := borrowed(s)
	for _, owner := range sortedKeys(from) {
		return obstacle{"shares the " + from[owner] + " of " + owner, true, "it is replaced together with " + owner + "; let the order be auto"}
	}
	if len(borrowers) > 0 {
		return obstacle{"shares what is its own with " + borrowers[0], true, "it is replaced together with " + borrowers[0] + "; let the order be auto"}
	}
	return obstacle{}
}

// writableMount names the first mount that two containers would both write.
// Read-only mounts, tmpfs and sockets have no writers to protect.
func writableMount(s compose.Service, image Image) string {
	for _, v := range s.Config.Volumes {
		switch {
		case v.ReadOnly || v.Type == "tmpfs" || v.Type == "image" || v.Type == "npipe":
		case v.Type == "bind" && strings.HasSuffix(v.Source, ".sock"):
		case v.Source == "":
			return "an anonymous volume at " + v.Target
		case v.Type == "bind":
			return v.Source + " at " + v.Target
		default:
			return "volume " + v.Source + " at " + v.Target
		}
	}
	for _, path := range image.Volumes {
		if !mountsAt(s, path) {
			return "a volume that its image declares at " + path
		}
	}
	return ""
}

// mountsAt reports whether the service puts something of its own at path.
func mountsAt(s compose.Service, path string) bool {
	if slices.ContainsFunc(s.Config.Tmpfs, func(t string) bool { target, _, _ := strings.Cut(t, ":"); return target == path }) {
		return true
	}
	for _, v := range s.Config.Volumes {
		if strings.TrimSuffix(v.Target, "/") == strings.TrimSuffix(path, "/") {
			return true
		}
	}
	return false
}

func fixedAddress(s compose.Service) string {
	if s.Config.MacAddress != "" {
		return "has the fixed MAC address " + s.Config.MacAddress
	}
	for _, key := range sortedKeys(s.Config.Networks) {
		switch n := s.Config.Networks[key]; {
		case n == nil:
		case n.Ipv4Address != "":
			return "has the fixed address " + n.Ipv4Address
		case n.Ipv6Address != "":
			return "has the fixed address " + n.Ipv6Address
		case n.MacAddress != "":
			return "has the fixed MAC address " + n.MacAddress
		}
	}
	return ""
}

// hostPort is the first host port that is fixed, and so can have one owner only.
func hostPort(s compose.Service) string {
	for _, p := range s.Config.Ports {
		if p.Published != "" && p.Published != "0" && !strings.Contains(p.Published, "-") {
			return p.Published
		}
	}
	return ""
}
