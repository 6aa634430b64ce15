package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// surroundings are what tells who looks after this process.
type surroundings struct {
	getenv      func(string) string
	pid, parent int
	// exists reports whether a file is there.
	exists func(path string) bool
}

func here(getenv func(string) string) surroundings {
	return surroundings{getenv: getenv, pid: os.Getpid(), parent: os.Getppid(), exists: func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}}
}

// supervisor is what ends everything that this process has started once the process
// itself has ended: "systemd" for the process of a unit, "container" for that of a
// container, "" for one that was started by hand.
func (s surroundings) supervisor() string {
	contained := s.exists("/.dockerenv") || s.exists("/run/.containerenv") || s.getenv("container") != ""
	switch {
	case s.pid == 1, s.parent == 1 && contained:
		return "container"
	// A unit's variables are inherited by all that its process starts, a shell of the
	// desktop for one. The process itself is told by the newer of the two exactly.
	case s.getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(s.pid), s.getenv("INVOCATION_ID") != "" && s.parent == 1:
		return "systemd"
	}
	return ""
}

// notifySupervisor tells systemd the state of this process, as sd_notify(3) does;
// without one that listens it does nothing.
func notifySupervisor(getenv func(string) string, state string) error {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	if name, abstract := strings.CutPrefix(path, "@"); abstract {
		path = "\x00" + name
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}
