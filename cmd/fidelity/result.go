package main

import (
	"encoding/json"
	"strings"
)

// result is the verdict on one file.
type result struct {
	specimen specimen
	verdict  verdict
	// ours and theirs are what davit and Compose refused with, "" for neither.
	ours, theirs string
	// objects are the differences, by thing.
	objects map[object][]difference
}

// verdict is what became of a file as a whole.
type verdict int

const (
	// comparedFields: both made it.
	comparedFields verdict = iota
	// refusedByBoth: neither did.
	refusedByBoth
	// refusedByDesign: davit does not, and the file says so and why.
	refusedByDesign
	// acceptedByDesign: davit does and Compose does not, and the file says why.
	acceptedByDesign
	// refusedWrongly: davit does not make what Compose makes.
	refusedWrongly
	// acceptedWrongly: davit makes what Compose refuses.
	acceptedWrongly
)

func (v verdict) String() string {
	return [...]string{"compared", "refused by both", "refused by design", "accepted by design", "refused by davit only",
		"refused by Compose only"}[v]
}

func judged(s specimen, ours, theirs made) result {
	r := result{specimen: s, ours: ours.Refused, theirs: theirs.Refused}
	switch {
	case s.refusal != "" && ours.Refused == "":
		r.verdict = acceptedWrongly
	case s.refusal != "" && !strings.Contains(ours.Refused, s.refusal):
		r.verdict = refusedWrongly
	case s.refusal != "":
		r.verdict = refusedByDesign
	case ours.Refused != "" && theirs.Refused != "":
		r.verdict = refusedByBoth
	case ours.Refused != "":
		r.verdict = refusedWrongly
	case theirs.Refused != "" && s.accepts != "":
		r.verdict = acceptedByDesign
	case theirs.Refused != "":
		r.verdict = acceptedWrongly
	default:
		r.objects = differences(s.name, ours, theirs)
	}
	if r.verdict == refusedWrongly {
		// Every service that Compose makes is one that davit does not.
		r.objects = differences(s.name, made{}, theirs)
	}
	return r
}

// throughJSON gives m the form that it has when it was on record.
func throughJSON(m made) (out made, err error) {
	data, err := json.Marshal(m)
	if err != nil {
		return m, err
	}
	return out, json.Unmarshal(data, &out)
}
