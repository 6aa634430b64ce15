package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// difference is one field that is not what Compose makes it.
type difference struct {
	file   string
	object object
	field  string
	// davit and compose are the values as JSON, "" for none.
	davit, compose string
}

// object is one thing of a project.
type object struct{ kind, key string }

func (o object) String() string { return o.kind + " " + o.key }

// String is one line of the list that a mender works from.
func (d difference) String() string {
	return fmt.Sprintf("%s\t%s\t%s\tdavit: %s\tcompose: %s", d.file, d.object, d.field, orNone(d.davit), orNone(d.compose))
}

func orNone(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}

// objects are all things of a project, as flat fields.
func (m made) objects() map[object]map[string]string {
	out := map[object]map[string]string{}
	for kind, all := range map[string]map[string]map[string]any{"service": m.Containers, "network": m.Networks, "volume": m.Volumes} {
		for key, one := range all {
			fields := map[string]string{}
			flatten(one, "", fields)
			out[object{kind, key}] = fields
		}
	}
	return out
}

// flatten writes the leaves of v below field. A list of plain values is a leaf.
func flatten(v any, field string, to map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			flatten(member, strings.TrimPrefix(field+"."+key, "."), to)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		deep := slices.ContainsFunc(v, func(m any) bool { _, ok := m.(map[string]any); return ok })
		for i, member := range v {
			if deep {
				flatten(member, fmt.Sprintf("%s[%d]", field, i), to)
			}
		}
		if deep {
			return
		}
	}
	to[field] = encoded(v)
}

// differences are all fields of what davit made that are not as Compose makes
// them, by thing; things without a difference are in it too.
func differences(file string, davit, compose made) map[object][]difference {
	ours, theirs := davit.objects(), compose.objects()
	out := map[object][]difference{}
	for o := range maps.Keys(theirs) {
		out[o] = compare(file, o, ours[o], theirs[o])
	}
	for o := range maps.Keys(ours) {
		if _, ok := theirs[o]; !ok {
			out[o] = []difference{{file: file, object: o, field: "exists", davit: "true"}}
		}
	}
	return out
}

func compare(file string, o object, ours, theirs map[string]string) []difference {
	if ours == nil {
		return []difference{{file: file, object: o, field: "exists", compose: "true"}}
	}
	all := maps.Clone(theirs)
	maps.Copy(all, ours)
	var list []difference
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if ours[field] != theirs[field] {
			list = append(list, difference{file: file, object: o, field: field, davit: ours[field], compose: theirs[field]})
		}
	}
	return list
}
