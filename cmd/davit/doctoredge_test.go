package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"davit/compose"
	"davit/reconcile"
	"davit/traffic"
)

// toldEdge is an edge that says what a test wants.
type toldEdge struct {
	versions traffic.Versions
	state    traffic.State
	err      error
}

func (f *toldEdge) Versions(context.Context) (traffic.Versions, error) { return f.versions, f.err }
func (f *toldEdge) State(context.Context) (traffic.State, error)       { return f.state, f.err }

// healthyEdge serves one port, with one replica behind it.
func healthyEdge() *toldEdge {
	return &toldEdge{
		versions: traffic.Versions{Name: "davit edge", Program: programVersion(), PID: 812, Oldest: 1, Newest: 1},
		state: traffic.State{Generation: 4, Since: then.Add(-time.Hour),
			Ports: []traffic.PortState{{Key: "tcp 0.0.0.0:80", Stack: "shop", Service: "web"},
				{Key: "tcp [::]:80", Stack: "shop", Service: "web", Closed: "socket: address family not supported by protocol"}},
			Replicas: []traffic.ReplicaState{{Container: "4f1c00000000000000", Stack: "shop", Service: "web", Replica: "web/1", Confirmed: true}}},
	}
}

func TestDoctorSaysWhatIsWrongWithTheEdgeAndWhatToDo(t *testing.T) {
	says := func(change func(*toldEdge)) func(*testing.T, *doctor) {
		return func(_ *testing.T, d *doctor) { change(d.edge.(*toldEdge)) }
	}
	none := func(setting string, served bool) func(*testing.T, *doctor) {
		return func(t *testing.T, d *doctor) {
			d.config.Edge = setting
			d.edge.(*toldEdge).err = traffic.ErrNoEdge
			if served {
				write(t, filepath.Join(traffic.Dir(d.config.Data), "table"), "{}", 0o600)
			}
		}
	}
	supervised := func(group string) func(*testing.T, *doctor) {
		return func(t *testing.T, d *doctor) {
			write(t, filepath.Join(d.root, "proc/812/cgroup"), "0::"+group+"\n", 0o644)
		}
	}
	for name, c := range map[string]struct {
		change func(*testing.T, *doctor)
		want   finding // Seen and Advice are parts
	}{
		"one serves":                {says(func(*toldEdge) {}), finding{"edge", levelOK, "serves table 4: 2 ports, 1 replicas", ""}},
		"none, and none asked for":  {none("auto", false), finding{"edge", levelOK, "replaced with a gap", "davit-edge.service"}},
		"none, and one has served":  {none("auto", true), finding{"edge", levelFail, "nobody answers at its ports", "systemctl enable --now davit-edge"}},
		"none, and one is asked":    {none("on", false), finding{"edge", levelFail, "the setting edge is on", "davit edge"}},
		"off":                       {none("off", true), finding{"edge", levelOK, "off: Docker", ""}},
		"one though it is off":      {func(_ *testing.T, d *doctor) { d.config.Edge = "off" }, finding{"edge", levelWarn, "process 812 serves, and the setting edge is off", "auto"}},
		"one that does not answer":  {says(func(e *toldEdge) { e.err = errors.New("EOF") }), finding{"edge", levelFail, "EOF", "--takeover"}},
		"an older one":              {says(func(e *toldEdge) { e.versions.Program = "v0.9.0" }), finding{"edge", levelWarn, "version v0.9.0 serves table 4", "systemctl reload davit-edge"}},
		"of systemd":                {supervised("/system.slice/davit-edge.service"), finding{"edge supervisor", levelOK, "systemd", ""}},
		"of a container":            {supervised("/system.slice/docker-4f1c.scope"), finding{"edge supervisor", levelOK, "container", ""}},
		"of nobody":                 {supervised("/user.slice/session-2.scope"), finding{"edge supervisor", levelWarn, "nobody after a reboot", "davit-edge.service"}},
		"blind":                     {says(func(e *toldEdge) { e.state.Blind = "permission denied" }), finding{"edge", levelFail, "cannot look at the engine: permission denied", "socket"}},
		"one of another davit":      {says(func(e *toldEdge) { e.state.Instance = "former" }), finding{"edge", levelWarn, "what the davit former told it", "--take-over"}},
		"a port of another program": {func(t *testing.T, d *doctor) { taken(d, "nginx (process 9)") }, finding{"edge ports", levelFail, "tcp 0.0.0.0:80 of web in shop is not open: bind: address already in use; nginx (process 9) has it", "stop that program"}},
		"a port of nobody knows":    {func(t *testing.T, d *doctor) { taken(d, "") }, finding{"edge ports", levelFail, "address already in use", "ss -lnp"}},
		"a rootless engine": {func(_ *testing.T, d *doctor) {
			f := d.engine.(fakeHost)
			f.host.Apart = "the engine is rootless, and the host does not reach its containers"
			d.engine = f
		}, finding{"edge", levelWarn, "the engine is rootless", "edge to off"}},
		"clients that wait": {says(func(e *toldEdge) { e.state.Ports[0].Parked, e.state.Ports[0].Waiting = then.Add(-time.Minute), 3 }),
			finding{"edge ports", levelWarn, "no replica that is ready for 1m0s, and 3 wait", "davit status shop"}},
		"a replica that fails": {says(func(e *toldEdge) {
			e.state.Replicas[0].Ejected, e.state.Replicas[0].Reason = true, "it cannot be reached"
		}),
			finding{"edge replicas", levelWarn, "web/1 of shop is passed over: it cannot be reached", "docker logs 4f1c00000000"}},
		"a replica in doubt": {says(func(e *toldEdge) { e.state.Replicas[0].Confirmed = false }), finding{"edge replicas", levelWarn, "web/1 of shop gets nothing", "engine"}},
		"ufw": {func(t *testing.T, d *doctor) {
			write(t, filepath.Join(d.root, "etc/ufw/ufw.conf"), "ENABLED=yes\n", 0o644)
		}, finding{"edge firewall", levelWarn, "ufw is on, and holds for the edge's ports", "ufw allow PORT/tcp"}},
		"firewalld": {func(t *testing.T, d *doctor) { write(t, filepath.Join(d.root, "run/firewalld/x"), "", 0o644) },
			finding{"edge firewall", levelWarn, "firewalld is on", "--add-port=PORT/tcp"}},
	} {
		t.Run(name, func(t *testing.T) { finds(t, c.change, c.want) })
	}
}

// taken has another program have the edge's port.
func taken(d *doctor, who string) {
	e := d.edge.(*toldEdge)
	e.state.Ports[0].Closed = "bind: address already in use"
	d.holder = func(h reconcile.HostPort) string {
		if h.String() == "80" {
			return who
		}
		return "somebody else"
	}
}

func TestWhoIsAStrangerAtAPort(t *testing.T) {
	for who, want := range map[string]bool{
		"": false, "docker-proxy (process 3)": false, "davit (process 812)": false, "renamed (process 812)": false, "dockerd (process 4)": false,
		"nginx (process 9)": true, "davitish (process 9)": true, "renamed (process 8120)": true,
	} {
		if got := strange(who, 812); got != want {
			t.Errorf("%q: %v", who, got)
		}
	}
}

func TestTheEdgesStateIsReadForTheHub(t *testing.T) {
	table := writeTable("host", reconcile.EdgeTable{Generation: 1, Routes: []reconcile.Route{
		{Stack: "shop", Service: "web", Ports: []compose.PublishedPort{{Network: "tcp", Host: 80, Target: 8080}}, Members: []reconcile.Member{{Container: "a", Started: then}, {Container: "b", Started: then}}},
	}})
	state := traffic.State{Since: then, Succeeded: true, Blind: "no engine",
		Ports: []traffic.PortState{{Key: "tcp 0.0.0.0:80", Parked: then.Add(time.Minute), Waiting: 2}, {Key: "tcp [::]:80", Parked: then, Waiting: 1}},
		Replicas: []traffic.ReplicaState{{Container: "a", Started: then, Ejected: true, Reason: "it cannot be reached"}, {Container: "a", Started: then.Add(-time.Hour)},
			{Container: "b", Started: then.Add(-time.Hour), Ejected: true}}}
	got := readTable(table, state)
	describe(&got, table, state)
	if !got.Since.Equal(then) || !got.Succeeded || got.Blind != "no engine" {
		t.Errorf("%+v", got)
	}
	parking := got.Parked[reconcile.HostPort{Network: "tcp", Port: 80}]
	if !parking.Since.Equal(then) || parking.Waiting != 3 || parking.Limit != traffic.DefaultPark || len(got.Parked) != 1 {
		t.Errorf("parked: %+v", got.Parked)
	}
	if m := got.Routes[0].Members; m[0].Ejected != "it cannot be reached" || m[1].Ejected != "" {
		t.Errorf("members: %+v", m)
	}
}

func TestTheDoctorLooksForDeclaredPortsThatOthersHave(t *testing.T) {
	d := healthyDoctor(t)
	if found := d.portsCheck(t.Context()); len(found) != 0 {
		t.Errorf("nothing is declared: %+v", found)
	}
	if _, err := identify(d.config.Data); err != nil {
		t.Fatal(err)
	}
	s := held(t, d.config.Data)
	const declares = "name: shop\nservices: {web: {image: a, ports: [\"80:8080\", \"127.0.0.1:81:8081\"]}}\n"
	r := reconcile.Revision{Ref: "main", Commit: strings.Repeat("a", 40), Dir: tree(t, map[string]string{"compose.yaml": declares})}
	if err := rememberRevision(t.Context(), s, "", r); err != nil {
		t.Fatal(err)
	}
	d.config.Path, d.config.Adopt = ".", "identical"
	if found := d.portsCheck(t.Context()); len(found) != 1 || found[0].Level != levelOK || !strings.HasPrefix(found[0].Seen, "2 are declared") {
		t.Errorf("the edge has them: %+v", found)
	}
	d.holder = func(h reconcile.HostPort) string {
		if h.Port == 81 {
			return "nginx (process 9)"
		}
		return "davit (process 812)"
	}
	if found := d.portsCheck(t.Context()); len(found) != 1 || found[0].Level != levelFail || found[0].Seen != "127.0.0.1:81 of web in shop is taken by nginx (process 9)" {
		t.Errorf("another program has one: %+v", found)
	}
}
