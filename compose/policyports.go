package compose

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// span is a run of host ports on one address.
type span struct {
	ip       string
	from, to int
}

func (s span) String() string {
	text := fmt.Sprint(s.from)
	if s.to > s.from {
		text = fmt.Sprintf("%d-%d", s.from, s.to)
	}
	if s.ip != "" {
		return s.ip + ":" + text
	}
	return text
}

// ports judges the host ports of a service. Compose makes one entry for every
// port of a range, so those that are refused are put together again: a line of
// text can ask for 65,535 of them.
func (j *judge) ports(key string, list []types.ServicePortConfig) {
	const why = "host port %s"
	grant, m := j.policy.grants(j.stack, RulePorts), ruleOf(RulePorts).matching
	var wanted []span
	for _, p := range list {
		if p.Published == "" || p.Published == "0" {
			continue
		}
		value := p.Published
		if p.HostIP != "" {
			value = p.HostIP + ":" + value
		}
		if grant.allows(m, value) {
			continue
		}
		ip, from, to, err := portSpan(value)
		if err != nil {
			j.ask(RulePorts, key, value, why, value)
			continue
		}
		wanted = append(wanted, span{ip, from, to})
	}
	for _, s := range joined(wanted) {
		j.ask(RulePorts, key, s.String(), why, s)
	}
}

// joined are the spans with those that touch or overlap made one.
func joined(list []span) (out []span) {
	slices.SortFunc(list, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.ip, b.ip), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	for _, s := range list {
		if last := len(out) - 1; last >= 0 && out[last].ip == s.ip && s.from <= out[last].to+1 {
			out[last].to = max(out[last].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}
