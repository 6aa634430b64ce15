package engine_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

func TestAPortOfARangeIsAskedForAgain(t *testing.T) {
	for name, c := range map[string]struct {
		ranged bool
	}{
		"a range":  {true},
		"one port": {false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			r := newRecorder(t)
			e := newEngine(t, r.host)
			published := freePort(t)
			if c.ranged { // of one port: where the range ends is not what this is about
				published += "-" + published
			}
			cfg := onNetworks("default")
			cfg.Ports = []types.ServicePortConfig{{Target: 80, Published: published, HostIP: "127.0.0.1", Protocol: "tcp"}}
			q := l.request(l.stack(), cfg, "web-1")
			q.Create.Ports = true
			id := l.create(q)
			var refused atomic.Int32
			r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
				if !strings.HasSuffix(path(q), "/start") || refused.Add(1) > 3 {
					return false
				}
				http.Error(w, `{"message":"Bind for 127.0.0.1:80 failed: port is already allocated"}`, http.StatusInternalServerError)
				return true
			})
			if err := e.Start(t.Context(), id); (err == nil) != c.ranged {
				t.Errorf("start: %v", err)
			}
		})
	}
}
