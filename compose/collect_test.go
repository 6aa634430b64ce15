package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestOnlyWhatNobodyNeedsIsCollected(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		data := filepath.Join(t.TempDir(), rapid.StringMatching(`[a-z]{8}`).Draw(r, "data"))
		dir := FilesDir(data)
		now := time.Now()
		since := now.Add(-time.Hour)
		needed := map[string]bool{}
		want := map[string]bool{}
		for i := range rapid.IntRange(1, 8).Draw(r, "contents") {
			sum := fmt.Sprintf("%064x", i)
			put(t, filepath.Join(dir, sum, "conf/a"), "content")
			old, mounted := rapid.Bool().Draw(r, "old"), rapid.Bool().Draw(r, "mounted")
			if old {
				if err := os.Chtimes(filepath.Join(dir, sum), now.Add(-2*time.Hour), now.Add(-2*time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range ContentOf(filepath.Join(dir, sum, "conf/a")) {
				if mounted {
					needed[s] = true
				}
			}
			if old && !mounted {
				want[sum] = true
			}
		}
		removed, err := Files{DataDir: data}.Collect(needed, since)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			sum := fmt.Sprintf("%064x", i)
			_, err := os.Stat(filepath.Join(dir, sum, "conf/a"))
			if wanted := want[sum]; wanted != slices.Contains(removed, sum) || wanted && err == nil || needed[sum] && err != nil {
				r.Fatalf("%s: removed %v, %v; want %v of needed %v", sum, removed, err, want, needed)
			}
		}
	})
}

func TestAnInterruptedCollectionLeavesNothingHalf(t *testing.T) {
	data := t.TempDir()
	dir := FilesDir(data)
	sum := strings.Repeat("a", 64)
	old := time.Now().Add(-2 * time.Hour)
	// As a crash leaves it: one has lost its name and half of its files, one was
	// being written.
	put(t, filepath.Join(dir, gone+sum, "conf/a"), "half")
	put(t, filepath.Join(dir, sum, "conf"), "whole")
	put(t, filepath.Join(dir, sum, temporary+"123/content"), "half")
	if err := os.Chtimes(filepath.Join(dir, sum, temporary+"123"), old, old); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, sum), old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := (Files{DataDir: data}).Collect(map[string]bool{sum: true}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, line := range snapshot(t, dir) {
		name, _, _ := strings.Cut(line, " ")
		left = append(left, strings.TrimPrefix(name, dir))
	}
	if want := []string{"", "/" + sum, "/" + sum + "/conf"}; !slices.Equal(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}
}

// A collection that dies between two system calls must not let anybody find
// content that is not whole.
func TestContentIsTakenItsNameBeforeItsFiles(t *testing.T) {
	data := t.TempDir()
	p := at(t, data, map[string]string{"compose.yaml": immutableStack, "conf/a": "a", "bin/run": "#!", "secret": "s"})
	if _, err := (Files{}).Write(p); err != nil {
		t.Fatal(err)
	}
	// A file that cannot be removed stands for the kill.
	victim := filepath.Dir(p.Content[0].Copy)
	stuck := filepath.Join(filepath.Dir(victim), gone+filepath.Base(victim))
	put(t, filepath.Join(stuck, "in/the/way"), "x")
	if err := discard(victim); err == nil {
		t.Fatal("a name that is taken was taken again")
	}
	if _, err := os.Stat(p.Content[0].Copy); err != nil {
		t.Errorf("content that kept its name lost files: %v", err)
	}
}
