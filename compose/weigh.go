package compose

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
)

// maxWeight bounds what compose-go would make of all files together: values,
// with what `extends` copies and what ranges of ports stand for written out. A
// few kilobytes can else ask for gigabytes, and one stack would take the agent
// along.
const maxWeight = 500_000

// perPort is what one port of a range weighs.
const perPort = 10

// scales weigh the services of a survey.
type scales struct {
	survey *survey
	// known are the weights by file and service; one that is being found is 0, so
	// that a cycle ends.
	known map[string]int
}

// weigh refuses a stack that is larger than it looks; false if it did.
func (s *survey) weigh() bool {
	w := scales{survey: s, known: map[string]int{}}
	total := 0
	for _, d := range s.docs {
		if d.role == roleExtended {
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(d.value)) {
			if k != "services" {
				total = min(total+size(d.value[k]), maxWeight+1)
			}
		}
		for _, name := range keys(d.value["services"]) {
			total = min(total+w.service(d, name), maxWeight+1)
		}
		if total > maxWeight {
			s.escaped = true
			s.fail(&Problem{File: d.file, Err: errors.New("is too large once what it extends is copied and its ranges of ports are written out")})
			return false
		}
	}
	return true
}

// service is the weight of a service of d with all that it extends.
func (w scales) service(d *document, name string) int {
	id := d.file + "\x00" + name
	if weight, ok := w.known[id]; ok {
		return weight
	}
	w.known[id] = 0
	service := below(below(d.value, "services"), name)
	weight := min(size(service)+w.ports(d, service["ports"]), maxWeight+1)
	if from, of := w.extended(d, service["extends"]); from != nil {
		weight = min(weight+w.service(from, of), maxWeight+1)
	}
	w.known[id] = weight
	return weight
}

// extended is the service that a service of d copies; nil for none.
func (w scales) extended(d *document, value any) (*document, string) {
	m, ok := value.(map[string]any)
	if !ok {
		return d, text(value)
	}
	of, file := w.survey.expand(d, text(m["service"])), w.survey.expand(d, text(m["file"]))
	if file == "" {
		return d, of
	}
	file = path.Join(d.base, file)
	i := slices.IndexFunc(w.survey.docs, func(other *document) bool { return other.file == file })
	if i < 0 {
		return nil, ""
	}
	return w.survey.docs[i], of
}

// ports is what the ranges in a list of ports add to it.
func (w scales) ports(d *document, list any) (weight int) {
	ranges := regexp.MustCompile(`(\d+)-(\d+)`)
	entries, _ := list.([]any)
	for _, e := range entries {
		widest := 0
		for _, m := range ranges.FindAllStringSubmatch(w.survey.expand(d, fmt.Sprint(e)), -1) {
			from, err1 := strconv.Atoi(m[1])
			to, err2 := strconv.Atoi(m[2])
			if err1 == nil && err2 == nil {
				widest = max(widest, min(to-from, maxWeight))
			}
		}
		weight = min(weight+widest*perPort, maxWeight+1)
	}
	return weight
}

// size is how many values there are in v.
func size(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			n += size(e)
		}
	case []any:
		for _, e := range v {
			n += size(e)
		}
	}
	return n
}
