package gitsource

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestFormerSourcesAreForgottenOnceNobodyUsesThem(t *testing.T) {
	data, now := t.TempDir(), time.Now()
	old := now.Add(-60 * 24 * time.Hour)
	current, err := New(Options{URL: t.TempDir(), Data: data})
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Base(current.shelf.dir)
	for name, fetched := range map[string]time.Time{own: old, "former-1": old, "recent-2": now} {
		dir := filepath.Join(data, "sources", name)
		if err := os.MkdirAll(filepath.Join(dir, "commit"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, lastFile), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{filepath.Join(dir, lastFile), dir} {
			if err := os.Chtimes(at, fetched, fetched); err != nil {
				t.Fatal(err)
			}
		}
	}
	removed, err := Forget(data, []*Source{current}, now.Add(-30*24*time.Hour))
	if err != nil || !slices.Equal(removed, []string{"former-1"}) {
		t.Errorf("removed %v, %v", removed, err)
	}
	for name, want := range map[string]bool{own: true, "former-1": false, "recent-2": true} {
		if _, err := os.Stat(filepath.Join(data, "sources", name)); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", name, err, want)
		}
	}
	if removed, err := Forget(data, nil, now.Add(-30*24*time.Hour)); err != nil || removed != nil {
		t.Errorf("once it is no longer configured, which was used until now: %v, %v", removed, err)
	}
	if removed, err := Forget(t.TempDir(), nil, now); err != nil || removed != nil {
		t.Errorf("without any source: %v, %v", removed, err)
	}
}
