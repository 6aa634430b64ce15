package gitsource

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"
)

// FuzzExport feeds trees of arbitrary bytes, and links of arbitrary targets.
// Whatever happens, nothing may appear outside the directory.
func FuzzExport(f *testing.F) {
	blob := func(n byte) string { return string(append([]byte{n}, make([]byte, 19)...)) }
	f.Add([]byte("100644 a\x00"+blob(1)), "target")
	f.Add([]byte("120000 a\x00"+blob(1)+"40000 b\x00"+blob(2)), "../../etc")
	f.Add([]byte("40000 ..\x00"+blob(2)), "b/../..")
	f.Add([]byte("100644 ../x\x00"+blob(1)), "/etc/passwd")
	f.Fuzz(func(t *testing.T, raw []byte, target string) {
		store := memory.NewStorage()
		put := func(kind plumbing.ObjectType, content []byte) plumbing.Hash {
			o := store.NewEncodedObject()
			o.SetType(kind)
			w, err := o.Writer()
			must(t, err)
			_, err = w.Write(content)
			must(t, err)
			h, err := store.SetEncodedObject(o)
			must(t, err)
			return h
		}
		file := put(plumbing.BlobObject, []byte(target))
		inner := put(plumbing.TreeObject, append([]byte("120000 up\x00"), file[:]...))
		raw = []byte(strings.NewReplacer(blob(1), string(file[:]), blob(2), string(inner[:])).Replace(string(raw)))
		outer := t.TempDir()
		dir := filepath.Join(outer, "tree")
		must(t, os.Mkdir(dir, 0o755))
		e, err := export(t.Context(), store, put(plumbing.TreeObject, raw), dir, Options{}.withDefaults().Limits)
		if entries, _ := os.ReadDir(outer); len(entries) != 1 {
			t.Fatalf("something appeared outside: %v", entries)
		}
		if err != nil {
			return
		}
		now, err := stamps(dir)
		must(t, err)
		if err := (&kept{manifest: manifest{Files: e.files}, dir: dir}).compare(t.Context(), now); err != nil {
			t.Errorf("an export differs from its own manifest: %v", err)
		}
	})
}

func FuzzCheckName(f *testing.F) {
	for _, seed := range []string{"a", "..", ".git", ".GiT", "a/b", "", "a\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) != nil {
			return
		}
		if !filepath.IsLocal(name) || filepath.Base(name) != name || strings.EqualFold(name, ".git") {
			t.Errorf("checkName accepts %q", name)
		}
	})
}
