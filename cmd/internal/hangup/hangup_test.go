package hangup

import (
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

func TestOnlyTheAgentTakesSIGHUP(t *testing.T) {
	for line, want := range map[string]bool{
		"davit run": true, "davit run --repo x": true, "davit --help run": true,
		"davit --config a.yaml run": true, "davit --config=a.yaml --data d run": true, "davit --prerelease run": true,
		"davit --config=a.yaml status run": false, "davit --config a.yaml status run": false, "davit -- run": true,
		"davit": false, "run": false, "davit status run": false, "davit --run": false, "davit apply --dir run": false,
	} {
		c := catch(strings.Fields(line))
		if got := c != nil; got != want {
			t.Errorf("%s: taken = %v", line, got)
		}
		signal.Reset(syscall.SIGHUP)
	}
	if catch(nil) != nil {
		t.Error("taken without arguments")
	}
}
