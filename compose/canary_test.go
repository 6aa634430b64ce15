package compose

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestACanaryIsRead(t *testing.T) {
	s := settingsOf(t, `ports: ["80:80"], x-davit: {strategy: canary, canary: {replicas: 25%, steps: [{weight: 5, hold: 2m}, {weight: "30%"}, {weight: 100}], promotion: manual}}`)
	want := &Canary{Replicas: &Amount{Value: 25, Percent: true}, Promotion: PromotionManual,
		Steps: []CanaryStep{{Weight: 5, Hold: 2 * time.Minute}, {Weight: 30}, {Weight: 100}}}
	if s.Strategy != StrategyCanary || !reflect.DeepEqual(s.Canary, want) {
		t.Errorf("got %v %+v, want %+v", s.Strategy, s.Canary, want)
	}
}

func TestTheCrewOfAStep(t *testing.T) {
	for _, c := range []struct {
		replicas *Amount
		weight   int
		of, want int
	}{
		{nil, 5, 1, 1},
		{nil, 5, 3, 1},
		{nil, 34, 3, 2},
		{nil, 100, 3, 3},
		{&Amount{Value: 2}, 5, 3, 2},
		{&Amount{Value: 2}, 100, 3, 3},
		{&Amount{Value: 9}, 5, 3, 3},
		{&Amount{Value: 1, Percent: true}, 50, 3, 1},
	} {
		if got := (Canary{Replicas: c.replicas}).Crew(c.weight, c.of); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestMistakesInACanary(t *testing.T) {
	const steps = "canary: {steps: [{weight: 5}]}"
	for name, c := range map[string]struct{ ports, block, want string }{
		"no block":            {"[80]", "strategy: canary", "x-davit.strategy: canary needs x-davit.canary with its steps"},
		"no steps":            {"[80]", "strategy: canary, canary: {replicas: 1}", "x-davit.canary: needs steps such as"},
		"an empty list":       {"[80]", "strategy: canary, canary: {steps: []}", "x-davit.canary.steps: must be a list of 1 to 100 steps"},
		"no weight":           {"[80]", "strategy: canary, canary: {steps: [{hold: 1m}]}", "x-davit.canary.steps[0]: needs a weight"},
		"too much":            {"[80]", "strategy: canary, canary: {steps: [{weight: 101}]}", `x-davit.canary.steps[0].weight: must be a percentage from 1 to 100, not "101"`},
		"a step down":         {"[80]", "strategy: canary, canary: {steps: [{weight: 5}, {weight: 5}]}", "x-davit.canary.steps[1].weight: 5 is not more than the step before"},
		"a hold of all":       {"[80]", "strategy: canary, canary: {steps: [{weight: 100, hold: 1s}]}", "x-davit.canary.steps[0].hold: nothing is held at 100 percent"},
		"no replica":          {"[80]", "strategy: canary, canary: {replicas: 0, steps: [{weight: 5}]}", "x-davit.canary.replicas: must be at least 1"},
		"no list of matches":  {"[80]", "strategy: canary, canary: {steps: [{weight: 5}], match: {header: x}}", "x-davit.canary.match: must be a list of 1 to 16"},
		"an empty match":      {"[80]", "strategy: canary, canary: {steps: [{weight: 5}], match: [{value: x}]}", "x-davit.canary.match[0]: needs a header or a cookie"},
		"a match by both":     {"[80]", "strategy: canary, canary: {steps: [{weight: 5}], match: [{header: x, cookie: y}]}", "x-davit.canary.match[0]: needs a header or a cookie, and not both"},
		"no name":             {"[80]", "strategy: canary, canary: {steps: [{weight: 5}], match: [{header: \"x y\"}]}", `x-davit.canary.match[0].header: must be a name such as X-Canary, not "x y"`},
		"a field of framing":  {"[80]", "strategy: canary, canary: {steps: [{weight: 5}], match: [{header: Host}]}", "x-davit.canary.match[0].header: is a field that no client tells itself by"},
		"a value with space":  {"[80]", "strategy: canary, canary: {steps: [{weight: 5}], match: [{header: x, value: \" on\"}]}", "x-davit.canary.match[0].value: must be the text that it has to be"},
		"another strategy":    {"[80]", steps, "x-davit.canary: has no effect without strategy: canary"},
		"an order against it": {"[80]", "strategy: canary, order: stop-first, " + steps, "x-davit.strategy: canary contradicts order stop-first"},
		"no port":             {"[]", "strategy: canary, " + steps, "x-davit.strategy: canary shares out what comes to published ports, and this service publishes none"},
		"an unknown word":     {"[80]", "strategy: canary, canary: {promotion: never, steps: [{weight: 5}]}", "x-davit.canary.promotion: must be one of automatic, manual"},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, one("services:\n  a:\n    {image: a, ports: "+c.ports+", x-davit: {"+c.block+"}}\n"))
			_, err := Load(t.Context(), find(t, root), options(root))
			if err == nil || !strings.Contains(err.Error(), "compose.yaml:3: services.a."+c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestACanaryIsNoPartOfTheServicesHash(t *testing.T) {
	hash := func(block string) string {
		return load(t, one("services: {a: {image: a, ports: [80], x-davit: {"+block+"}}}")).Services[0].Hash
	}
	if hash("strategy: rolling") != hash("strategy: canary, canary: {steps: [{weight: 5}]}") {
		t.Error("a change of how it is deployed would replace containers")
	}
}
