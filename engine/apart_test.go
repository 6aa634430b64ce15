package engine_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestAnEngineWhoseContainersTheHostDoesNotReachIsRecognised(t *testing.T) {
	for said, want := range map[string]string{
		`{"SecurityOptions":["name=seccomp,profile=default","name=rootless","name=cgroupns"],"OperatingSystem":"Debian"}`: "rootless",
		`{"SecurityOptions":["name=seccomp,profile=default"],"OperatingSystem":"Docker Desktop"}`:                         "virtual machine",
		`{"SecurityOptions":["name=seccomp,profile=default","name=userns"],"OperatingSystem":"Debian GNU/Linux 12"}`:      "",
	} {
		var asked atomic.Int64
		e := newEngine(t, listen(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Api-Version", "1.44")
			switch path(q) {
			case "info":
				asked.Add(1)
				fmt.Fprint(w, said)
			case "containers/json", "networks":
				fmt.Fprint(w, "[]")
			}
		})))
		for range 3 {
			if got := observe(t, e).Apart; got == "" != (want == "") || !strings.Contains(got, want) {
				t.Errorf("of %s it is said %q", said, got)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("it was asked %d times", n)
		}
	}
}
