package rollout

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"davit/reconcile"
)

// PortHolder names the process that listens at a port of this host, "nginx (process
// 812)", as far as the kernel shows it to this one: "" where nobody is seen to, which of
// the processes of others takes the rights of root.
func PortHolder(h reconcile.HostPort) string { return procFS("/proc").holder(h) }

// procFS is where the kernel tells of processes and sockets.
type procFS string

func (p procFS) holder(h reconcile.HostPort) string {
	sockets := p.listening(h)
	if len(sockets) == 0 {
		return ""
	}
	links, _ := filepath.Glob(filepath.Join(string(p), "[0-9]*", "fd", "*")) // its pattern is one
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && slices.Contains(sockets, to) {
			return p.process(filepath.Base(filepath.Dir(filepath.Dir(link))))
		}
	}
	return ""
}

// process names one for people.
func (p procFS) process(pid string) string {
	name, err := os.ReadFile(filepath.Join(string(p), pid, "comm"))
	if err != nil {
		return "process " + pid // it has just ended
	}
	return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
}

// listening are the sockets at the port as links in /proc name them: "socket:[4711]".
func (p procFS) listening(h reconcile.HostPort) []string {
	var out []string
	for _, table := range []string{h.Network, h.Network + "6"} {
		f, err := os.Open(filepath.Join(string(p), "net", table))
		if err != nil {
			continue // a kernel without IPv6 has no such file
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if inode := listener(strings.Fields(lines.Text()), h); inode != "" {
				out = append(out, "socket:["+inode+"]")
			}
		}
		f.Close()
	}
	return out
}

// listener is the inode of the socket that a line of /proc/net/tcp or udp is about, if
// that is in the way of h; "" if not. Of a port, each address is in the way of the
// wildcard, so that it is enough to compare ports where h names none.
func listener(fields []string, h reconcile.HostPort) string {
	const local, state, inode = 1, 3, 9
	const listens, unconnected = "0A", "07"
	if len(fields) <= inode || fields[state] != listens && fields[state] != unconnected {
		return ""
	}
	address, port, found := strings.Cut(fields[local], ":")
	if n, err := strconv.ParseUint(port, 16, 16); !found || err != nil || uint16(n) != h.Port {
		return ""
	}
	if h.IP.IsValid() && strings.Trim(address, "0") != "" && !strings.EqualFold(address, kernelAddress(h)) {
		return ""
	}
	return fields[inode]
}

// kernelAddress is the port's address as the kernel writes it: words of 32 bits, each
// with its last byte first, as on all machines that davit is built for.
func kernelAddress(h reconcile.HostPort) string {
	var out strings.Builder
	bytes := h.IP.AsSlice()
	for word := range slices.Chunk(bytes, 4) {
		slices.Reverse(word)
		fmt.Fprintf(&out, "%X", word)
	}
	return out.String()
}
