package testbed

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what an agent's process has used so far.
type Usage struct {
	// CPU is the processor time of all its threads, in steps of 10 ms.
	CPU time.Duration
	// Anonymous is the memory that is its own, Resident all that it has in RAM; both
	// in bytes.
	Anonymous, Resident int64
}

// Usage reads what the running agent has used.
func (a *Agent) Usage() Usage {
	a.tb.Helper()
	p := a.life()
	if p == nil || p.over() {
		a.tb.Fatalf("look at davit's process: it does not run")
	}
	u, err := usage(p.command.Process.Pid)
	if err != nil {
		a.tb.Fatalf("look at davit's process: %v", err)
	}
	return u
}

// tick is the unit of /proc/PID/stat: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

func usage(pid int) (u Usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	// The command's name, in parentheses, may hold anything.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return u, fmt.Errorf("read /proc/%d/stat: %q", pid, text)
	}
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
		}
		u.CPU += time.Duration(n) * tick
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64) // other lines have no number
		switch key {
		case "RssAnon":
			u.Anonymous = kib << 10
		case "VmRSS":
			u.Resident = kib << 10
		}
	}
	return u, nil
}
