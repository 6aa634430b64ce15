package e2e

import (
	"fmt"
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

// TestKillAnywhereInAReplacementAtTheEdge: the agent dies around what it has the edge do,
// and with -soak at every other instant, too. Whatever instant that is, the edge serves
// on, and the next agent finishes what was begun.
func TestKillAnywhereInAReplacementAtTheEdge(t *testing.T) {
	t.Parallel()
	c := &course{rig: newRig(t, "kill-port")}
	c.agent.Args = append(c.agent.Args, "--edge", "on")
	port := c.bed.UnusedPort()
	c.settled = c.byCommit
	c.declare = func(round int) string {
		app := quick()
		app.Env["STOP"] = "exit" // what the edge does not wait for is lost
		image := c.image("web", fmt.Sprintf("1.%d", round), app)
		return c.push("", service("web", image, "restart: always", fmt.Sprintf(`ports: ["127.0.0.1:%d:8080"]`, port),
			"x-davit: {monitor: 200ms, standby: {for: 0s}}"))
	}
	c.outcome = func(round int) []string {
		return []string{
			fmt.Sprintf("web 1.%d, healthy as web, restart always", round),
			fmt.Sprintf("held of web: 1.%d 1.%d 1.%d", round-2, round-1, round),
		}
	}
	c.start()
	callers := call(t, fmt.Sprintf("http://127.0.0.1:%d/", port), keptAndNew())
	if *soak {
		c.cover()
	} else {
		c.aroundTheShift()
	}
	callers.wait(fmt.Sprintf("1.%d", c.round))
	callers.end()
	c.checkHistory()
}

// aroundTheShift tries the instants from the new container's start to the old one's stop.
func (c *course) aroundTheShift() {
	c.Helper()
	c.run(0, testbed.Before)
	measure := c.made
	var tried []string
	between := false
	for n, request := range measure {
		between = between || strings.HasSuffix(request, "/start")
		moment := testbed.After
		if strings.HasSuffix(request, "/stop") {
			between, moment = false, testbed.Before
		}
		if between || moment == testbed.Before {
			c.struck = map[testbed.Moment][]string{}
			if !c.run(n+1, moment) || !strings.HasSuffix(c.struck[moment][0], request) {
				c.Errorf("not struck %s %s: %v", moment, request, c.struck)
			}
			tried = append(tried, fmt.Sprint(moment, " ", request))
		}
		if moment == testbed.Before {
			break
		}
	}
	if len(tried) < 3 {
		c.Errorf("only %v tried of\n  %s", tried, strings.Join(measure, "\n  "))
	}
	c.Logf("the agent was killed\n  %s", strings.Join(tried, "\n  "))
}
