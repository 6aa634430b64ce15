package socket_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"davit/traffic/socket"
)

func TestASocketIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	listen(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".sock-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestASocketThatAnswersIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	listen(t, path)
	if _, err := socket.Listen(t.Context(), path); !errors.Is(err, socket.ErrTaken) {
		t.Error(err)
	}
}

func TestASocketThatADeadProcessLeftIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l := listen(t, path)
	if err := l.Listener.Close(); err != nil { // the name stays, as after a kill
		t.Fatal(err)
	}
	if _, err := socket.Dial(t.Context(), path); !errors.Is(err, socket.ErrNobody) {
		t.Error(err)
	}
	listen(t, path)
	dial(t, path)
}

func TestANameThatWasTakenOverStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	before := listen(t, path)
	if _, err := socket.Replace(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	dial(t, path)
}

func TestANameThatAnotherMayTakeAtAnyMomentStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l := listen(t, path)
	l.Leave()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
	listen(t, path)
	dial(t, path)
}

func TestWhatIsNoSocketIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := socket.Listen(t.Context(), path); err == nil {
		t.Error("no error")
	}
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestASocketMayBeDeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s.sock")
	l := listen(t, path)
	dial(t, path)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name is still there: %v", err)
	}
}

func listen(t *testing.T, path string) *socket.Listener {
	t.Helper()
	l, err := socket.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t *testing.T, path string) {
	t.Helper()
	conn, err := socket.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
