package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// root is the module's directory, from here.
const root = "../.."

func TestCorpusCoversTheSchema(t *testing.T) {
	c, err := covered(filepath.Join(root, corpus))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.percent(); got < enough {
		t.Errorf("%.1f %% of the attributes are covered, not %d; no file has:\n%s", got, enough, strings.Join(c.missing(), "\n"))
	}
}

func TestEveryFileHasARecordAndEveryRecordAFile(t *testing.T) {
	of := func(pattern string) map[string]bool {
		files, err := filepath.Glob(filepath.Join(root, corpus, pattern))
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, f := range files {
			name := filepath.Base(f)
			names[strings.TrimSuffix(name, filepath.Ext(name))] = true
		}
		return names
	}
	files, records := of("*.txtar"), of("*.json")
	delete(records, strings.TrimSuffix(fingerprintFile, ".json"))
	for name := range files {
		if !records[name] {
			t.Errorf("%s.txtar has no record: run make fidelity-reference", name)
		}
	}
	for name := range records {
		if !files[name] {
			t.Errorf("%s.json is the record of no file", name)
		}
	}
	if len(files) < 60 {
		t.Errorf("there are %d files, fewer than 60", len(files))
	}
}

func TestAtMostFiveFieldsMayDiffer(t *testing.T) {
	if len(allowed) > 5 {
		t.Errorf("%d fields may differ", len(allowed))
	}
	for _, rules := range [][]rule{allowed, containerNoise, networkNoise, volumeNoise, labelNoise} {
		for _, r := range rules {
			if r.reason == "" {
				t.Errorf("nobody says why %s is not compared", r.field)
			}
		}
	}
}

func TestAttributesAreFoundInEverySyntax(t *testing.T) {
	for name, c := range map[string]struct {
		tree any
		want string
	}{
		"a plain key":             {map[string]any{"name": "shop"}, "name"},
		"below any name":          {map[string]any{"services": map[string]any{"web": map[string]any{"image": "x"}}}, "services.*.image"},
		"in a list of maps":       {map[string]any{"services": map[string]any{"web": map[string]any{"ports": []any{map[string]any{"target": 80}}}}}, "services.*.ports.[].target"},
		"a map":                   {map[string]any{"services": map[string]any{"web": map[string]any{"labels": map[string]any{"a": "b"}}}}, "services.*.labels.*"},
		"the same as a list":      {map[string]any{"services": map[string]any{"web": map[string]any{"labels": []any{"a=b"}}}}, "services.*.labels.*"},
		"a name with a dot":       {map[string]any{"volumes": map[string]any{"a.b": map[string]any{"driver": "x"}}}, "volumes.*.driver"},
		"a key without a value":   {map[string]any{"networks": map[string]any{"front": nil}}, "networks.*"},
		"a key that says nothing": {map[string]any{"networks": map[string]any{"front": map[string]any{"ipam": nil}}}, "networks.*.ipam"},
	} {
		t.Run(name, func(t *testing.T) {
			got := newCoverage()
			got.use(c.tree, nil)
			if !got.used[c.want] {
				t.Errorf("%s is not among %v", c.want, got.used)
			}
		})
	}
}
