package engine

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
)

// procFS is where the kernel tells of the processes of this machine.
type procFS string

// containerID is how an engine names the control group of a container, whatever is around
// it: "/docker/<id>", "/system.slice/docker-<id>.scope".
var containerID = regexp.MustCompile(`[0-9a-f]{64}`)

// inside are the processes in each of these containers, as far as this process is shown
// them: those of a machine where the engine is not, or outside of this container, are not.
func (p procFS) inside(ids []string) map[string][]int {
	dirs, _ := filepath.Glob(filepath.Join(string(p), "[0-9]*")) // its pattern is one
	found := map[string][]int{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		for _, id := range p.containers(pid) {
			if slices.Contains(ids, id) {
				found[id] = append(found[id], pid)
			}
		}
	}
	return found
}

// containers are those that the process is in, by its control groups; none if it has ended.
func (p procFS) containers(pid int) []string {
	groups, err := os.ReadFile(filepath.Join(string(p), strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return nil
	}
	all := containerID.FindAllString(string(groups), -1)
	slices.Sort(all)
	return slices.Compact(all)
}

// firsts are the processes whose parents are not among them: what a container was started
// with, and what was executed in it.
func (p procFS) firsts(pids []int) []int {
	return slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return slices.Contains(pids, p.parent(pid)) })
}

// parent is a process's parent, 0 if it has ended. The name before it, in parentheses, may
// have any characters in it.
func (p procFS) parent(pid int) int {
	const parent = 1 // after the state
	stat, err := os.ReadFile(filepath.Join(string(p), strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= parent {
		return 0
	}
	n, _ := strconv.Atoi(string(fields[parent])) // the kernel writes numbers
	return n
}

// signal sends a signal to a process if it is inside the container still. What is held of
// the process from here on is not its number, which may be another's in a moment.
func (p procFS) signal(pid int, id string, s syscall.Signal) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer process.Release()
	if !slices.Contains(p.containers(pid), id) {
		return nil
	}
	if err := process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
