package reconcile_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// TestAnyLifeWithAnEdgeEndsWell draws a life as the same without an edge does, in which
// the edge dies, loses its table, and gets and loses ports as well. Nothing is ever
// stopped while it is busy, and in the end whatever runs is what the edge has.
func TestAnyLifeWithAnEdgeEndsWell(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var lives []act
		for range rapid.IntRange(2, 8).Draw(rt, "acts") {
			lives = append(lives, act{
				what: rapid.IntRange(0, 16).Draw(rt, "what"),
				tag:  rapid.IntRange(0, 5).Draw(rt, "content"),
				then: time.Duration(rapid.IntRange(0, 40).Draw(rt, "seconds after")) * time.Second,
			})
		}
		work := time.Duration(rapid.IntRange(0, 20).Draw(rt, "work")) * time.Second
		problem := ""
		simulate(t, func(t *testing.T, h *host) {
			l := &edgeLife{life: &life{host: h}, edge: h.giveEdge()}
			l.edge.Work = work
			l.images()
			l.push(0)
			h.pass(time.Minute)
			for _, a := range lives {
				l.live(a)
			}
			l.edge.Revive()
			if problem = l.end(); problem != "" {
				problem += fmt.Sprintf(" in %v\nrunning %s\nedge %s\n%s\n%s", lives, h.running(), routes(h, l.edge), h.history(), h.story())
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// edgeLife is a life on a host with an edge.
type edgeLife struct {
	*life
	edge *enginetest.Edge
	// via is what is said of who owns the port.
	via string
}

func (l *edgeLife) push(tag int) {
	l.last = tag
	content := published(tags[tag])
	if l.via != "" {
		content += "    x-davit: {ports: {\"8080\": {via: " + l.via + "}}}\n"
	}
	l.host.push(fmt.Sprintf("v1.%d.0", l.pushes), content)
}

func (l *edgeLife) live(a act) {
	switch {
	case a.what < 5:
		l.push(a.tag)
	case a.what < 12:
		l.life.live(a)
		return
	case a.what == 12:
		l.edge.Die()
	case a.what == 13:
		l.edge.Revive()
	case a.what == 14:
		l.edge.Lose()
	default:
		l.via = []string{"", "edge", "docker"}[a.tag%3]
		l.push(a.tag)
	}
	l.pass(a.then)
}

// end lets what is under way come to rest and says what is wrong then.
func (l *edgeLife) end() string {
	_ = l.loop.Resume(l.t.Context(), "shop", "ann")
	_ = l.loop.Unpin(l.t.Context(), "shop", "ann")
	l.pass(3 * time.Hour)
	if wrongs := l.edge.Wrongs(); len(wrongs) > 0 {
		return wrongs[0]
	}
	table, err := l.edge.Look(l.t.Context())
	if err != nil {
		return err.Error()
	}
	at, docker := 0, 0
	for _, c := range l.observe().Containers {
		m, in := table.Member(c.ID)
		switch {
		case in && !c.Running():
			return c.Name + " does not run and is at the edge"
		case in && !m.Draining.IsZero():
			return c.Name + " drains for ever"
		case in:
			at++
		case c.Running() && len(c.Published) > 0:
			docker++
		case c.Running() && c.Health == reconcile.Healthy:
			return c.Name + " runs and nobody reaches it"
		}
	}
	if at > 1 || docker > 1 || at+docker > 1 {
		return fmt.Sprintf("%d containers at the edge and %d at Docker", at, docker)
	}
	for _, r := range table.Routes {
		if len(r.Members) == 0 && docker > 0 {
			return "the edge has a port that Docker publishes"
		}
	}
	return ""
}
