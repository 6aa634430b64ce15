package state

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"

	"davit/reconcile"
)

func TestTheHostKeyIsMadeOnceByWhoeverIsFirst(t *testing.T) {
	dir := t.TempDir()
	keys := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, err := HostKey(dir)
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	wg.Wait()
	for _, key := range keys {
		if len(key) != 32 || !bytes.Equal(key, keys[0]) {
			t.Fatalf("keys differ: %x and %x", key, keys[0])
		}
	}
	entries, err := os.ReadDir(dir)
	check(t, err)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestADamagedHostKeyIsReportedWithoutItsContent(t *testing.T) {
	for name, content := range map[string]string{
		"empty":     "",
		"cut short": strings.Repeat("ab", 31),
		"not hex":   strings.Repeat("zQ", 32),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			check(t, os.WriteFile(dir+"/host.key", []byte(content), 0o600))
			_, err := HostKey(dir)
			if err == nil || reconcile.Hint(err) == "" || !strings.Contains(err.Error(), dir) {
				t.Fatalf("got %v, hint %q", err, reconcile.Hint(err))
			}
			if strings.Contains(err.Error(), "'z'") {
				t.Errorf("the error quotes the key: %v", err)
			}
			if after, _ := os.ReadFile(dir + "/host.key"); string(after) != content {
				t.Error("the damaged key was replaced")
			}
		})
	}
}

func TestTheInstanceOutlivesTheDatabase(t *testing.T) {
	dir := t.TempDir()
	first := must[string](t)(Instance(dir))
	s := openStore(t, dir)
	check(t, s.Close())
	check(t, os.Remove(dir+"/state.db"))
	openStore(t, dir)
	if second := must[string](t)(Instance(dir)); second != first || len(first) < 16 {
		t.Errorf("instance was %q and is %q", first, second)
	}
	if other := must[string](t)(Instance(t.TempDir())); other == first {
		t.Error("two directories have one identity")
	}
}

func TestAnEmptyInstanceFileIsAnErrorAndNoNewIdentity(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(dir+"/instance", nil, 0o600))
	if id, err := Instance(dir); err == nil || reconcile.Hint(err) == "" {
		t.Errorf("got %q, %v", id, err)
	}
}
