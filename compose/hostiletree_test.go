package compose

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostile makes a tree that wants to hurt whoever reads it.
type hostile struct {
	make func(t *testing.T, root string)
	// want is part of what is said about it; "" where it is only odd and loads.
	want string
}

const (
	fifo   = "fifo"
	device = "device"
	socket = "socket"
)

// special makes a file that is none.
func special(t *testing.T, kind, at string) {
	t.Helper()
	var err error
	switch kind {
	case fifo:
		err = syscall.Mkfifo(at, 0o644)
	case device: // /dev/zero, which never ends
		err = syscall.Mknod(at, syscall.S_IFCHR|0o644, 1<<8|5)
	case socket:
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(t.Context(), "unix", at); err == nil {
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			err = l.Close()
		}
	}
	if err != nil {
		t.Fatalf("make a %s: %v", kind, err)
	}
}

// hostileTrees are kept small on the disk: sparse files and links.
func hostileTrees() map[string]hostile {
	service := func(line string) string { return "services:\n  a:\n    image: a\n    " + line + "\n" }
	with := func(line string, more func(t *testing.T, root string)) func(t *testing.T, root string) {
		return func(t *testing.T, root string) {
			put(t, filepath.Join(root, "compose.yaml"), service(line))
			more(t, root)
		}
	}
	long := func(name string, size int64) func(t *testing.T, root string) {
		return func(t *testing.T, root string) {
			put(t, filepath.Join(root, name), "x: ")
			if err := os.Truncate(filepath.Join(root, name), size); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(from, to string) func(t *testing.T, root string) {
		return func(t *testing.T, root string) {
			if err := os.Symlink(to, filepath.Join(root, from)); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := func(file string) func(t *testing.T, root string) {
		return func(t *testing.T, root string) { put(t, filepath.Join(root, "compose.yaml"), file) }
	}
	trees := map[string]hostile{
		"a file of 100 MB":                {long("compose.yaml", 100<<20), "is larger than 1024 KiB"},
		"an env file of 100 MB":           {with("env_file: e", long("e", 100<<20)), "is larger than 256 KiB"},
		"a .env file of 100 MB":           {with("restart: always", long(".env", 100<<20)), "is larger than 256 KiB"},
		"an include of 100 MB":            {with("restart: always\ninclude: [i.yaml]", long("i.yaml", 100<<20)), "is larger than 1024 KiB"},
		"a scalar of one MB":              {text(service("labels: {a: " + strings.Repeat("x", 1<<20) + "}")), "is larger than 1024 KiB"},
		"a link to itself":                {with("env_file: e", link("e", "e")), "too many levels of symbolic links"},
		"a compose file that is its link": {link("compose.yaml", "compose.yaml"), "too many levels of symbolic links"},
		"links in a circle, mounted": {with("volumes: ['./d:/d:ro']", func(t *testing.T, root string) {
			put(t, filepath.Join(root, "d/f"), "")
			link("d/a", "../b")(t, root)
			link("b", "d/a")(t, root)
		}), "too many links"},
		"an absolute link, mounted": {with("volumes: ['./l:/d:ro']", link("l", "/etc/shadow")), "leads out of the repository"},
		"a link to the host's devices": {with("volumes: ['./d:/d:ro']", func(t *testing.T, root string) {
			put(t, filepath.Join(root, "d/f"), "")
			link("d/zero", "/dev/zero")(t, root)
		}), "leads out of the repository"},
		"no UTF-8":                {text("services: {a: {image: \"\xff\xfe\"}}"), "UTF-8"},
		"no UTF-8 in an env file": {with("env_file: e", func(t *testing.T, root string) { put(t, filepath.Join(root, "e"), "A=\xff\n\x80=1\n") }), "e:"},
		"NUL in an env file":      {with("env_file: e", func(t *testing.T, root string) { put(t, filepath.Join(root, "e"), "A\x00=1\n") }), "e:"},
		"merges in a circle":      {text("x-a: &a {<<: &b {<<: *a}}\n" + service("<<: *b")), "nested too deeply"},
		"extends in a circle":     {text("services: {a: {image: a, extends: b}, b: {image: b, extends: a}}"), "ircular"},
		"extends in a circle of files": {with("extends: {file: x.yaml, service: b}", func(t *testing.T, root string) {
			put(t, filepath.Join(root, "x.yaml"), "services: {b: {extends: {file: compose.yaml, service: a}}}")
		}), "ircular"},
		"includes in a circle": {with("restart: always\ninclude: [i.yaml]", func(t *testing.T, root string) {
			put(t, filepath.Join(root, "i.yaml"), "include: [compose.yaml]\n")
		}), "include cycle"},
		"includes without end": {with("restart: always\ninclude: [d/0.yaml]", func(t *testing.T, root string) {
			for i := range 300 {
				put(t, filepath.Join(root, fmt.Sprintf("d/%d.yaml", i)), fmt.Sprintf("include: [%d.yaml]\nservices: {s%d: {image: a}}\n", i+1, i))
			}
		}), "more than 200 files"},
		"variables that double": {text(service("labels: {a: \"" + strings.Repeat("${A:-", 60) + "x" + strings.Repeat("}", 60) + "\"}")), "nested deeper than"},
		"variables that grow": {with("labels: {a: '"+strings.Repeat("$A", 2000)+"'}", func(t *testing.T, root string) {
			put(t, filepath.Join(root, ".env"), "A="+strings.Repeat("y", 100_000)+"\n")
		}), "expand to more than"},
		"variables that grow in .env": {with("restart: always", func(t *testing.T, root string) {
			env := "A0=" + strings.Repeat("y", 1000) + "\n"
			for i := range 40 {
				env += fmt.Sprintf("A%d=$A%d$A%d\n", i+1, i, i)
			}
			put(t, filepath.Join(root, ".env"), env)
		}), "expand to more than"},
		"two directories of one stack": {func(t *testing.T, root string) {
			put(t, filepath.Join(root, "App/compose.yaml"), service("restart: always"))
			put(t, filepath.Join(root, "app/compose.yaml"), service("restart: always"))
		}, "is claimed by"},
		"a name that is two lines": {func(t *testing.T, root string) {
			put(t, filepath.Join(root, "a\nerror: forged\x1b[2J/compose.yaml"), service("image: twice"))
		}, "already defined"},
		"ten thousand files, mounted": {with("volumes: ['./d:/d:ro']", func(t *testing.T, root string) {
			for i := range 10_000 {
				put(t, filepath.Join(root, fmt.Sprintf("d/%d/%d", i%100, i)), "x")
			}
		}), ""},
		"a list of 100 MB":         {with("restart: always", long("davit.yaml", 100<<20)), "is larger than 1024 KiB"},
		"a list that holds itself": {with("restart: always", func(t *testing.T, root string) { put(t, filepath.Join(root, "davit.yaml"), "stacks: &a [*a]\n") }), "nested too deeply"},
		"a list that leads out": {with("restart: always", func(t *testing.T, root string) {
			put(t, filepath.Join(root, "davit.yaml"), "stacks: [{name: x, directory: ., files: [../../../etc/passwd]}]\n")
		}), "leads out of the repository"},
		"a list that leads out by a link": {with("restart: always", func(t *testing.T, root string) {
			put(t, filepath.Join(root, "davit.yaml"), "stacks: [{name: x, directory: ., env_files: [l]}]\n")
			link("l", "/etc/passwd")(t, root)
		}), "leads out of the repository"},
		"a list of too many stacks": {with("restart: always", func(t *testing.T, root string) {
			list := "stacks:\n"
			for i := range maxStacks + 1 {
				list += fmt.Sprintf("- {name: s%d, directory: .}\n", i)
			}
			put(t, filepath.Join(root, "davit.yaml"), list)
		}), "has more than 1000 entries"},
		"a thousand directories deep": {with("volumes: ['./d:/d:ro']", func(t *testing.T, root string) {
			put(t, filepath.Join(root, strings.Repeat("d/", 1000)+"f"), "x")
		}), ""},
		"extends that multiply": {func(t *testing.T, root string) {
			file := strings.Builder{}
			file.WriteString("services:\n  a:\n    image: a\n    environment:\n")
			for i := range 20_000 {
				fmt.Fprintf(&file, "      E%d: x\n", i)
			}
			for i := range 10_000 {
				fmt.Fprintf(&file, "  s%d: {extends: a}\n", i)
			}
			put(t, filepath.Join(root, "compose.yaml"), file.String())
		}, "is too large once"},
		"extends that multiply, in a chain of files": {func(t *testing.T, root string) {
			base := "services:\n  b:\n    image: a\n    ports: ['${R}']\n"
			file := "services:\n"
			for i := range 100 {
				file += fmt.Sprintf("  s%d: {extends: {file: '${B}.yaml', service: b}}\n", i)
			}
			put(t, filepath.Join(root, ".env"), "R=1-3000:1-3000\nB=base\n")
			put(t, filepath.Join(root, "base.yaml"), base)
			put(t, filepath.Join(root, "compose.yaml"), file)
		}, "is too large once"},
		"a hundred thousand variables": {with("env_file: e", func(t *testing.T, root string) {
			put(t, filepath.Join(root, "e"), strings.Repeat("A=\n", 80_000))
		}), ""},
		"ports without end": {text(service("ports: ['1-65535:1-65535', '1-65535:1-65535/udp']")), "is too large once"},
	}
	for _, kind := range []string{fifo, device, socket} {
		for use, line := range map[string]string{
			"as an env file": "env_file: x", "as a label file": "label_file: x", "mounted": "volumes: ['./x:/x:ro']", "mounted to be written": "volumes: ['./x:/x']",
			"as an include": "restart: always\ninclude: [x]", "to be extended": "extends: {file: x, service: a}",
		} {
			trees["a "+kind+" "+use] = hostile{with(line, func(t *testing.T, root string) { special(t, kind, filepath.Join(root, "x")) }), "is n"}
		}
		trees["a "+kind+" for a compose file"] = hostile{func(t *testing.T, root string) {
			put(t, filepath.Join(root, "b/compose.yaml"), service("restart: always"))
			special(t, kind, filepath.Join(root, "compose.yaml"))
		}, ""}
		trees["a "+kind+" for the list"] = hostile{with("restart: always", func(t *testing.T, root string) { special(t, kind, filepath.Join(root, "davit.yaml")) }), "is not a regular file"}
		trees["a "+kind+" for .env"] = hostile{with("restart: always", func(t *testing.T, root string) { special(t, kind, filepath.Join(root, ".env")) }), "is not a regular file"}
		trees["a "+kind+" in a directory"] = hostile{with("volumes: ['./d:/d:ro']", func(t *testing.T, root string) {
			put(t, filepath.Join(root, "d/f"), "")
			special(t, kind, filepath.Join(root, "d/x"))
		}), "is neither a file nor a directory"}
	}
	return trees
}

// reader is the environment variable that makes the test binary load the trees
// in it, one a line, and say what it found. The memory of that process is what
// reading them costs.
const reader = "DAVIT_TEST_READ_TREES"

func TestMain(m *testing.M) {
	trees := os.Getenv(reader)
	if trees == "" {
		os.Exit(m.Run())
	}
	for _, root := range strings.Split(trees, "\n") {
		if err := json.NewEncoder(os.Stdout).Encode(readTreeAt(root)); err != nil {
			os.Exit(1)
		}
	}
}

// readTreeAt is everything that is wrong with a tree.
func readTreeAt(root string) string {
	o := options(root)
	o.DataDir = filepath.Join(root, "no-data")
	o.Policy = NewPolicy(Strict)
	if err := validateTree(context.Background(), root, ".", validateOptions{LoadOptions: o}); err != nil {
		return err.Error()
	}
	return ""
}

func TestHostileTreesEndInClearErrorsAndLittleMemory(t *testing.T) {
	var names, roots []string
	trees := hostileTrees()
	for name, h := range trees {
		// Long enough to hold a socket, whatever the name of the test.
		root, err := os.MkdirTemp("", "t")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(root) })
		h.make(t, root)
		names, roots = append(names, name), append(roots, root)
	}
	const patience = 4 * time.Minute
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), reader+"="+strings.Join(roots, "\n"))
	child.WaitDelay = patience
	child.Stderr = os.Stderr
	hung := time.AfterFunc(patience, func() { _ = child.Process.Kill() })
	out, err := child.Output()
	hung.Stop()
	said := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(said) != len(names) {
		t.Fatalf("read until %q: %v", names[min(len(said), len(names)-1)], err)
	}
	for i, name := range names {
		var text string
		if err := json.Unmarshal([]byte(said[i]), &text); err != nil {
			t.Fatal(err)
		}
		if want := trees[name].want; (want == "") != (text == "") || !strings.Contains(text, want) {
			t.Errorf("%s: got %.500q, want %q", name, text, want)
		}
		if len(text) > 10_000 || strings.ContainsAny(text, "\x1b\x00") {
			t.Errorf("%s: what is said is %d bytes long, or steers a terminal: %.200q", name, len(text), text)
		}
	}
	const limit = 300 << 10 // KiB
	if used := child.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; used > limit {
		t.Errorf("reading them took %d MiB", used>>10)
	} else {
		t.Logf("%d trees were read in %d MiB", len(names), used>>10)
	}
}

func TestARepositoryOfTooManyStacksIsRefused(t *testing.T) {
	root := t.TempDir()
	for i := range maxStacks + 1 {
		put(t, filepath.Join(root, fmt.Sprintf("%d/compose.yaml", i)), "services: {a: {image: a}}\n")
	}
	if found, err := Discover(root, ".", "x"); err == nil || len(found) > 0 || !strings.Contains(err.Error(), "more than 1000 compose files") {
		t.Errorf("%d stacks, %v", len(found), err)
	}
}
