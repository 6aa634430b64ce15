package compose

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// eachText applies change to every text below value, in place.
func eachText(value any, change func(string) string) any {
	switch v := value.(type) {
	case string:
		return change(v)
	case map[string]any:
		for k, e := range v {
			v[k] = eachText(e, change)
		}
	case []any:
		for i, e := range v {
			v[i] = eachText(e, change)
		}
	}
	return value
}

// plainTree is a copy of tree as it comes back from JSON, whole numbers as int.
func plainTree(tree map[string]any) (map[string]any, error) {
	data, err := json.Marshal(said(tree))
	if err != nil {
		return nil, fmt.Errorf("render as JSON: %w", err)
	}
	return readTree(data)
}

// said is a copy of value in which the values that JSON knows otherwise than YAML
// are the text that Compose makes of them in labels and variables: dates, and
// numbers such as 1e6, which would come back as 1000000.
func said(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = said(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = said(e)
		}
		return out
	case time.Time:
		return fmt.Sprint(v)
	case uint64:
		if v > math.MaxInt64 {
			return fmt.Sprint(v)
		}
	case float64:
		if v == math.Trunc(v) && fmt.Sprint(v) != strconv.FormatFloat(v, 'f', -1, 64) {
			return fmt.Sprint(v)
		}
	}
	return value
}

func readTree(data []byte) (map[string]any, error) {
	var tree map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("read rendered project: %w", err)
	}
	return numbers(tree).(map[string]any), nil
}

func numbers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = numbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = numbers(e)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, _ := v.Float64()
		return f
	}
	return value
}

func keys(v any) []string {
	m, _ := v.(map[string]any)
	return slices.Sorted(maps.Keys(m))
}

// below is the mapping at key of tree.
func below(tree map[string]any, key string) map[string]any {
	m, _ := tree[key].(map[string]any)
	return m
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// texts is a text or a list of them.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}
