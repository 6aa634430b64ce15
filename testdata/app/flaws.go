package main

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// flaws are what is wrong with the answers of a service.
type flaws struct {
	// errors is how many of 100 requests fail, errorsFrom how many do not at first.
	errors, errorsFrom int64
	delay              time.Duration
	// oomAt is the request at which memory runs out; 0 for none.
	oomAt int64
	// unhealthyAfter is how long it is well; 0 for ever.
	unhealthyAfter time.Duration
}

// loadSeen counts requests to /.
type loadSeen struct{ requests, failed atomic.Int64 }

// answer answers / as well as the service can.
func (s *service) answer(w http.ResponseWriter, _ *http.Request) {
	n := s.load.requests.Add(1)
	if n == s.flaws.oomAt {
		exhaust()
	}
	time.Sleep(s.flaws.delay)
	if s.spoilt() || n > s.flaws.errorsFrom && n*s.flaws.errors/100 != (n-1)*s.flaws.errors/100 {
		s.load.failed.Add(1)
		http.Error(w, s.version+" fails as asked", http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, s.version)
}

// spoilt reports whether the time in which it is well is over.
func (s *service) spoilt() bool {
	return s.flaws.unhealthyAfter > 0 && time.Since(s.started) > s.flaws.unhealthyAfter
}

// metrics are the counts in Prometheus' text format.
func (s *service) metrics(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, "# TYPE app_requests_total counter\napp_requests_total %d\n# TYPE app_failed_total counter\napp_failed_total %d\n",
		s.load.requests.Load(), s.load.failed.Load())
}

// exhaust takes memory until the kernel ends the process.
func exhaust() {
	var taken [][]byte
	for {
		block := make([]byte, 8<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		taken = append(taken, block)
		if len(taken) > 48 { // nobody limits it, and the host is not to suffer
			panic("nobody has limited the memory")
		}
	}
}
