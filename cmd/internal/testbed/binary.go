package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Beds are made by the dozen, and to find that a program is up to date costs the compiler
// a second of a core: a process asks it once for each.
var (
	davitProgram = sync.OnceValues(func() (string, error) { return compile(".", "./cmd/davit", "davit") })
	appProgram   = sync.OnceValues(func() (string, error) { return compile(".", "./testdata/app", "app") })
	// It takes minutes the first time.
	composerProgram = sync.OnceValues(func() (string, error) { return compile("tools", "./composer", "composer") })
)

// compileTimeout is for one program on a machine that has compiled none yet.
const compileTimeout = 15 * time.Minute

// compile compiles a package of the module in a directory of this one below bin/testbed
// and returns where it is. The compiler leaves a binary that is up to date alone; the lock
// keeps test processes that run side by side from writing one file. What it returns is
// named by its content, so that a change of the sources during a test does not change
// what that test runs.
func compile(module, pkg, name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), compileTimeout)
	defer cancel()
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin", "testbed")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "."+name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("build %s: lock %s: %w", pkg, dir, err)
	}
	target := filepath.Join(dir, name)
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", target, pkg)
	command.Dir, command.Env = filepath.Join(root, module), append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, output)
	}
	return settle(target)
}

// settle gives a binary a second name that no other content gets, and lets go of
// the names of builds that nobody can be running any more.
func settle(binary string) (string, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return "", fmt.Errorf("read what was built: %w", err)
	}
	sum := sha256.Sum256(content)
	settled := binary + "-" + hex.EncodeToString(sum[:6])
	if err := os.Link(binary, settled); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("keep what was built: %w", err)
	}
	now := time.Now()
	if err := os.Chtimes(settled, now, now); err != nil {
		return "", fmt.Errorf("keep what was built: %w", err)
	}
	earlier, err := filepath.Glob(binary + "-*")
	if err != nil {
		return "", fmt.Errorf("look for earlier builds: %w", err)
	}
	for _, name := range earlier {
		if info, err := os.Stat(name); err == nil && now.Sub(info.ModTime()) > forgotten {
			_ = os.Remove(name) // what stays costs space alone
		}
	}
	return settled, nil
}

// forgotten is how long ago a build must have been asked for to be nobody's: far
// longer than any test runs.
const forgotten = 6 * time.Hour

func moduleRoot(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(output))), nil
}
