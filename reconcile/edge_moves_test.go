package reconcile_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
)

// portShape is a way to declare the ports of two services, web and api.
type portShape struct {
	// web and api are what is said of each besides its image; api is "" where there is none.
	web, api string
	// serves are the services by host port, with "docker" behind those that Docker publishes.
	serves map[string]string
}

var portShapes = map[string]portShape{
	"no port":           {web: ""},
	"one port":          {web: "ports: ['80:8080']", serves: map[string]string{"80": "web"}},
	"another host port": {web: "ports: ['81:8080']", serves: map[string]string{"81": "web"}},
	"another target":    {web: "ports: ['80:9090']", serves: map[string]string{"80": "web"}},
	"two ports":         {web: "ports: ['80:8080', '443:8443']", serves: map[string]string{"80": "web", "443": "web"}},
	"one address":       {web: "ports: ['127.0.0.1:80:8080']", serves: map[string]string{"127.0.0.1:80": "web"}},
	"both families":     {web: "ports: ['0.0.0.0:80:8080', '[::]:80:8080']", serves: map[string]string{"80": "web"}},
	"UDP beside":        {web: "ports: ['80:8080', '80:8080/udp']", serves: map[string]string{"80": "web", "80/udp": "web"}},
	"three replicas":    {web: "ports: ['80:8080']\n    deploy: {replicas: 3}", serves: map[string]string{"80": "web"}},
	"by Docker":         {web: "ports: ['80:8080']\n    x-davit: {ports: {'8080': {via: docker}}}", serves: map[string]string{"80": "web docker"}},
	"stop-first":        {web: "ports: ['80:8080']\n    x-davit: {order: stop-first, ports: {'8080': {via: edge}}}", serves: map[string]string{"80": "web"}},
	"the other's":       {web: "", api: "ports: ['80:8080']", serves: map[string]string{"80": "api"}},
	"each its own":      {web: "ports: ['80:8080']", api: "ports: ['81:8080']", serves: map[string]string{"80": "web", "81": "api"}},
	"each the other's":  {web: "ports: ['81:8080']", api: "ports: ['80:8080']", serves: map[string]string{"81": "web", "80": "api"}},
}

func (s portShape) yaml(tag string) string {
	out := web(tag)
	if s.web != "" {
		out += "    " + s.web + "\n"
	}
	if s.api != "" {
		out += fmt.Sprintf("  api:\n    image: shop:%s\n    %s\n", tag, s.api)
	}
	return out
}

// steady are the ports that s and o serve alike, by the edge and start-first, and so
// without a gap in between.
func (s portShape) steady(o portShape) []string {
	var out []string
	for port, service := range s.serves {
		stops := strings.Contains(s.web+o.web, "stop-first") || strings.HasSuffix(service, "docker")
		if o.serves[port] == service && !stops {
			out = append(out, port)
		}
	}
	slices.Sort(out)
	return out
}

// TestPortsMoveFromOneShapeToAnotherAndThenRest: what is declared is served, and
// nothing else; what stays is served all the time; and then there is nothing to do.
func TestPortsMoveFromOneShapeToAnotherAndThenRest(t *testing.T) {
	names := slices.Sorted(maps.Keys(portShapes))
	for _, from := range names {
		for _, to := range names {
			if both := portShapes[from].api != "" && portShapes[to].api != ""; from != "one port" && to != "one port" && !both {
				continue // what other pairs do is put together of what these do
			}
			t.Run(from+" to "+to, func(t *testing.T) {
				withEdge(t, func(t *testing.T, h *host, edge *enginetest.Edge) {
					a, b := portShapes[from], portShapes[to]
					h.push("v1.0.0", a.yaml("1.0"))
					h.pass(3 * time.Minute)
					h.expect("at first", fmt.Sprint(served(h, edge)), fmt.Sprint(a.serves))
					var one sync.Mutex
					mutations, gaps := 0, map[string]string{}
					h.engine.Interrupt(func(op enginetest.Op, _ enginetest.Moment) error {
						one.Lock()
						defer one.Unlock()
						mutations++
						for _, port := range a.steady(b) {
							if now := served(h, edge); gaps[port] == "" && now[port] != a.serves[port] {
								gaps[port] = fmt.Sprintf("%s at %s: %v", port, op, now)
							}
						}
						return nil
					})
					h.push("v1.1.0", b.yaml("1.1"))
					h.pass(2 * time.Hour)
					h.expect("in the end", fmt.Sprint(served(h, edge)), fmt.Sprint(b.serves))
					for _, gap := range gaps {
						t.Errorf("a gap of %s", gap)
					}
					h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded\n#2 deploy v1.1.0 succeeded")
					tables := edge.Applied()
					one.Lock()
					mutations = 0
					one.Unlock()
					h.pass(time.Hour)
					one.Lock()
					defer one.Unlock()
					if n := edge.Applied() - tables; n > 0 || mutations > 0 {
						t.Errorf("it does not rest: %d tables, %d mutations", n, mutations)
					}
				})
			})
		}
	}
}

// served are the services that clients find, by host port, as a portShape has them.
func served(h *host, edge *enginetest.Edge) map[string]string {
	out := map[string]string{}
	table, err := edge.Look(h.t.Context())
	if err != nil {
		h.t.Error(err)
	}
	running := map[string]bool{}
	for _, c := range h.observe().Containers {
		if c.State != reconcile.Running {
			continue
		}
		running[c.ID] = true
		for _, p := range c.Published {
			out[p.String()] = c.Service + " docker"
		}
	}
	for _, r := range table.Routes {
		alive := slices.ContainsFunc(r.Members, func(m reconcile.Member) bool { return m.Draining.IsZero() && running[m.Container] })
		for _, p := range r.Ports {
			if alive {
				out[name(p)] = r.Service
			} else {
				out[name(p)] = "nobody"
			}
		}
	}
	return out
}

func name(p compose.PublishedPort) string { return reconcile.HostPortOf(p).String() }
