package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// report is the verdict on all files.
type report struct {
	results []result
}

// score counts things of one kind.
type score struct{ equal, all int }

func (r report) score(kinds ...string) (s score) {
	for _, one := range r.results {
		for o, differences := range one.objects {
			if !slices.Contains(kinds, o.kind) {
				continue
			}
			s.all++
			if len(relevant(differences)) == 0 {
				s.equal++
			}
		}
	}
	return s
}

// made counts the files of which something is compared.
func (r report) made() (n int) {
	for _, one := range r.results {
		if len(one.objects) > 0 {
			n++
		}
	}
	return n
}

// relevant are the differences that are not allowed.
func relevant(differences []difference) []difference {
	return slices.DeleteFunc(slices.Clone(differences), func(d difference) bool {
		return slices.ContainsFunc(allowed, func(r rule) bool {
			kind, field, _ := strings.Cut(r.field, " ")
			return kind == d.object.kind && (field == d.field || fits(field, d.field))
		})
	})
}

// all are the differences of every file, in order.
func (r report) all() []difference {
	var list []difference
	for _, one := range r.results {
		for _, differences := range one.objects {
			list = append(list, relevant(differences)...)
		}
	}
	slices.SortFunc(list, func(a, b difference) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.object.String(), b.object.String()), cmp.Compare(a.field, b.field))
	})
	return list
}

// conclude prints the report; the error says why it is not good enough.
func (r report) conclude(w io.Writer, o options) error {
	found := r.all()
	for _, d := range found {
		fmt.Fprintln(w, d)
	}
	r.fields(w, found)
	wrong := r.verdicts(w)
	services, others := r.score("service"), r.score("network", "volume")
	fmt.Fprintf(w, "\n%d of %d services equal, %d of %d networks and volumes, in %d of %d files; the others are refused\n",
		services.equal, services.all, others.equal, others.all, r.made(), len(r.results))
	for _, a := range allowed {
		fmt.Fprintf(w, "allowed to differ: %s: %s\n", a.field, a.reason)
	}
	var bad error
	if len(found) > 0 {
		bad = errors.Join(bad, fmt.Errorf("%d fields differ", len(found)))
	}
	if wrong > 0 {
		bad = errors.Join(bad, fmt.Errorf("%d files are made by one only", wrong))
	}
	if o.dir == "" {
		bad = errors.Join(bad, coverAll(w))
	}
	return bad
}

var number = regexp.MustCompile(`\[\d+\]`)

// fields prints how often each field differs.
func (r report) fields(w io.Writer, found []difference) {
	count := map[string]int{}
	for _, d := range found {
		count[d.object.kind+" "+number.ReplaceAllString(d.field, "[]")]++
	}
	if len(count) == 0 {
		return
	}
	fmt.Fprintln(w, "\nfields that differ")
	byCount := func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) }
	for _, field := range slices.SortedFunc(maps.Keys(count), byCount) {
		fmt.Fprintf(w, "%5d  %s\n", count[field], field)
	}
}

// verdicts prints the files that are not simply compared, and counts those that
// ought to be otherwise.
func (r report) verdicts(w io.Writer) (wrong int) {
	for v := refusedByBoth; v <= acceptedWrongly; v++ {
		var lines []string
		for _, one := range r.results {
			if one.verdict == v {
				lines = append(lines, fmt.Sprintf("  %s\n    davit:   %s\n    Compose: %s", one.specimen.name, said(one.ours), said(one.theirs)))
			}
		}
		if len(lines) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: %d\n%s\n", v, len(lines), strings.Join(lines, "\n"))
		if v >= refusedWrongly {
			wrong += len(lines)
		}
	}
	return wrong
}

func said(refusal string) string {
	if refusal == "" {
		return "makes it"
	}
	return strings.ReplaceAll(refusal, "\n", "\n             ")
}

// coverAll prints which attributes no file of the corpus has.
func coverAll(w io.Writer) error {
	c, err := covered(corpus)
	if err != nil {
		return fmt.Errorf("see what the files cover: %w", err)
	}
	for _, a := range c.missing() {
		fmt.Fprintf(w, "no file has %s\n", a)
	}
	fmt.Fprintf(w, "%.1f %% of the schema's %d attributes are in a file\n", c.percent(), len(c.known))
	if c.percent() < enough {
		return fmt.Errorf("less than %d %% of the schema's attributes are covered", enough)
	}
	return nil
}
