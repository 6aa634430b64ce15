package state

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"davit/reconcile"
)

func TestASecondAgentOnTheSameDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := openStore(t, dir)
	_, _, err := Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("the second agent got %v", err)
	}
	if want := fmt.Sprintf("pid %d", os.Getpid()); !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
		t.Errorf("%q does not name %q and %s", err, want, dir)
	}
	if reconcile.Hint(err) == "" {
		t.Error("the refusal carries no hint")
	}
	begin(t, first, "shop") // the first one is not disturbed
	check(t, first.Close())
	openStore(t, dir)
}

func TestAStaleLockFileIsNoLock(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(dir+"/davit.lock", []byte("1\n"), 0o600))
	openStore(t, dir)
	text, err := os.ReadFile(dir + "/davit.lock")
	check(t, err)
	if got := strings.TrimSpace(string(text)); got != fmt.Sprint(os.Getpid()) {
		t.Errorf("the lock names %q", got)
	}
}

func TestAFailedOpenLetsGoOfTheLock(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(dir+"/host.key", []byte("nonsense"), 0o600))
	if _, _, err := Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Fatal("opened with a damaged host key")
	}
	check(t, os.Remove(dir+"/host.key"))
	openStore(t, dir)
}
