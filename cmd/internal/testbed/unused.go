package testbed

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// UnusedPort is a TCP port of the host that nobody listens at. It is none of those that
// the kernel chooses from: it would give that to the next who asks.
func (b *Bed) UnusedPort() int {
	b.tb.Helper()
	for range 100 {
		port := 10_000 + rand.N(20_000)
		if l, err := net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	b.tb.Fatalf("no port of this host is unused")
	return 0
}
