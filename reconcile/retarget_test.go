package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
)

// What is new comes to a port that only the new containers have: whoever has it not is
// handed none of it, by any table. The edge in memory complains of others.
func TestNobodyIsHandedWhatComesToAPortThatItHasNot(t *testing.T) {
	for name, more := range map[string]string{
		"canary":         "    x-davit: {strategy: canary, canary: {steps: [{weight: 5, hold: 1m}]}}\n",
		"three replicas": "    deploy: {replicas: 3}\n",
		"a canary of three": "    deploy: {replicas: 3}\n" +
			"    x-davit: {strategy: canary, canary: {steps: [{weight: 5, hold: 1m}]}}\n",
	} {
		for change, ports := range map[string]string{
			"another target":              "ports: ['80:9090']",
			"a port more":                 "ports: ['80:8080', '443:8443']",
			"another target and a port":   "ports: ['80:9090', '443:8443']",
			"targets change places":       "ports: ['80:9090', '81:8080']",
			"another port at that target": "ports: ['80:8080', '81:8080']",
		} {
			t.Run(name+", "+change, func(t *testing.T) {
				withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
					first := "ports: ['80:8080']"
					if change == "targets change places" {
						first = "ports: ['80:8080', '81:9090']"
					}
					h.push("v1.0.0", web("1.0")+"    "+first+"\n"+more)
					h.pass(time.Minute)
					var alone []string
					h.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
						if sets := handed(h, edge); len(sets) > 1 && strings.Contains(ports, "80:9090") && !slices.Contains(alone, op.String()) {
							alone = append(alone, op.String())
						}
						return nil
					})
					h.push("v1.1.0", web("1.1")+"    "+ports+"\n"+more)
					h.pass(5 * time.Minute)
					if alone != nil {
						t.Errorf("two releases share what comes to a port that means two things to them, at %v", alone)
					}
					h.push("", web("1.0")+"    "+first+"\n"+more)
					h.pass(5 * time.Minute)
					h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded\n#3 rollback v1.0.0 succeeded restores #1")
				})
			})
		}
	}
}
