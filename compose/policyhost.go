package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Host is what a policy has to know of the machine.
type Host struct {
	// DataDir is davit's data directory.
	DataDir string
	// SecretsDir is where davit mounts decrypted files from, "" if it has none.
	SecretsDir string
	// Socket is the path of the engine's socket, "" if it is somewhere else on
	// the network. The usual places are known anyway.
	Socket string
	// Resolve follows the symbolic links in a path that need not exist. Nil takes
	// every path as it is written; see ResolvePath.
	Resolve func(path string) (string, error)
}

// contentDir is where content that never changes is mounted from.
func (h Host) contentDir() string { return filepath.Join(h.DataDir, "files") }

// resolve is path as it is written and where it leads, each once. With an error
// the latter is missing.
func (h Host) resolve(path string) ([]string, error) {
	path = filepath.Clean(path)
	if h.Resolve == nil {
		return []string{path}, nil
	}
	real, err := h.Resolve(path)
	if err != nil {
		return []string{path}, err
	}
	return slices.Compact([]string{path, real}), nil
}

// maxLinks is how many links the kernel follows in one path.
const maxLinks = 40

// ResolvePath follows the symbolic links in a path of this machine as far as it
// exists: the engine makes what is missing when it mounts. A link to what is not
// there yet is followed too, because it may be there by then.
func ResolvePath(path string) (string, error) {
	path = filepath.Clean(path)
	for range maxLinks {
		real, err := filepath.EvalSymlinks(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return real, err
		}
		next, err := pastMissing(path)
		if err != nil || next == path {
			return next, err
		}
		path = next
	}
	return "", fmt.Errorf("follow the links in %s: there are more than %d", path, maxLinks)
}

// pastMissing resolves what there is of a path of which something is missing; if
// that is the target of a link, the link is replaced by its target.
func pastMissing(path string) (string, error) {
	rest := ""
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at):
			rest = filepath.Join(filepath.Base(at), rest)
			continue
		case err != nil:
			return "", err
		case info.Mode()&fs.ModeSymlink == 0:
			real, err := filepath.EvalSymlinks(at)
			return filepath.Join(real, rest), err
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(at))
		if err != nil {
			return "", err
		}
		target, err := os.Readlink(at)
		if err == nil && !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		return filepath.Join(target, rest), err
	}
}

// socketPaths are where engines listen: whoever can speak to one is root.
func (h Host) socketPaths() []string {
	list := []string{
		"/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock",
		"/run/podman/podman.sock", "/var/run/podman/podman.sock", "/run/crio/crio.sock", "/var/run/crio/crio.sock",
		"/run/buildkit/buildkitd.sock", "/var/run/buildkit/buildkitd.sock",
	}
	if h.Socket != "" {
		// One that cannot be followed is known by what it is written as.
		more, _ := h.resolve(h.Socket)
		list = append(list, more...)
	}
	return list
}

// reachesSocket reports whether a mount of path holds the socket of an engine.
func (h Host) reachesSocket(path string) bool {
	holds := func(socket string) bool { return beneath(socket, path) }
	named := func(socket string) bool { return filepath.Base(socket) == filepath.Base(path) }
	return slices.ContainsFunc(h.socketPaths(), holds) ||
		strings.HasSuffix(path, ".sock") && slices.ContainsFunc(h.socketPaths(), named)
}

// inData reports whether path is davit's own directory or lies in it, or among the
// decrypted secrets.
func (h Host) inData(path string) bool {
	if h.SecretsDir != "" && beneath(path, h.SecretsDir) {
		return true
	}
	return slices.ContainsFunc(h.data(), func(data string) bool { return beneath(path, data) })
}

// holdsData reports whether davit's own directory lies in path.
func (h Host) holdsData(path string) bool {
	return slices.ContainsFunc(h.data(), func(data string) bool { return beneath(data, path) })
}

// data are the places where davit's own directory is. One that cannot be followed
// is known by what it is written as.
func (h Host) data() []string {
	if h.DataDir == "" {
		return nil
	}
	places, _ := h.resolve(h.DataDir)
	return places
}
