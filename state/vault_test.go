package state

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"davit/reconcile"
)

func TestProjectsAreUnreadableInEveryFile(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	const secret = "PASSWORD=correct-horse-battery-staple"
	r := must[reconcile.Release](t)(s.Begin(t.Context(), reconcile.Release{Stack: "shop", Started: noon, Project: []byte(secret)}))
	finish(t, s, r, reconcile.Succeeded)
	must[string](t)(s.Snapshot(t.Context()))
	found := 0
	check(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte("battery")) {
			t.Errorf("%s holds the secret", path)
		}
		if bytes.Contains(content, []byte("shop")) {
			found++
		}
		return err
	}))
	if found == 0 {
		t.Error("the release is in no file: the search proves nothing")
	}
}

func TestEqualProjectsAreStoredOnce(t *testing.T) {
	s := openStore(t, t.TempDir())
	for range 3 {
		begin(t, s, "shop")
	}
	var n int
	check(t, s.writer.QueryRow(`SELECT count(*) FROM projects`).Scan(&n))
	if n != 1 {
		t.Errorf("%d copies of one project", n)
	}
}

func TestWithAnotherHostKeyHistoryIsReadableAndProjectsAreNot(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
	check(t, s.Close())
	check(t, os.Remove(dir+"/host.key"))

	s = openStore(t, dir)
	got := must[[]reconcile.Release](t)(s.Releases(t.Context(), "shop", 0))
	if len(got) != 1 || got[0].Project != nil || got[0].Version != "v1.0.0" {
		t.Errorf("read %+v", got)
	}
	begin(t, s, "shop")
	if got := must[[]reconcile.Release](t)(s.Releases(t.Context(), "shop", 1)); string(got[0].Project) != "name: shop" {
		t.Errorf("the new key does not work: %q", got[0].Project)
	}
}

func TestASealedProjectIsBoundToItsNameAndContent(t *testing.T) {
	v := must[*vault](t)(newVault(bytes.Repeat([]byte{7}, 32)))
	plain := []byte(strings.Repeat("services: {web: {image: shop:1}}\n", 100))
	id, sealed, err := v.seal(plain)
	check(t, err)
	if got := must[[]byte](t)(v.unseal(id, sealed)); !bytes.Equal(got, plain) {
		t.Error("what was sealed did not come back")
	}
	if len(sealed) > len(plain)/2 {
		t.Errorf("%d bytes were sealed into %d", len(plain), len(sealed))
	}
	if _, err := v.unseal("other", sealed); err == nil {
		t.Error("opened under another name")
	}
	for _, i := range []int{0, len(sealed) / 2, len(sealed) - 1} {
		sealed[i] ^= 1
		if _, err := v.unseal(id, sealed); err == nil {
			t.Errorf("opened with bit %d flipped", i)
		}
		sealed[i] ^= 1
	}
	if _, err := v.unseal(id, nil); err == nil {
		t.Error("opened nothing")
	}
}
