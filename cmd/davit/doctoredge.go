package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"davit/reconcile"
	"davit/traffic"
)

// askedEdge is what the doctor asks of an edge.
type askedEdge interface {
	Versions(ctx context.Context) (traffic.Versions, error)
	State(ctx context.Context) (traffic.State, error)
}

// edgeCheck asks whether an edge serves, who looks after it, and whether it can do what
// it is told.
func (d *doctor) edgeCheck(ctx context.Context) []finding {
	const name = "edge"
	v, err := d.edge.Versions(ctx)
	switch {
	case errors.Is(err, traffic.ErrNoEdge):
		return d.noEdge()
	case err != nil:
		return failed(name, err, "look at its log; `davit edge --takeover` takes its place")
	case d.config.Edge == "off":
		return one(name, levelWarn, fmt.Sprintf("%s serves, and the setting edge is off", v), "stop it, or set edge to auto")
	}
	s, err := d.edge.State(ctx)
	if err != nil {
		return failed(name, err, "look at its log; `davit edge --takeover` takes its place")
	}
	found := []finding{d.edgeVersion(v, s)}
	found = append(found, d.edgeOwner(s)...)
	found = append(found, d.edgeSupervisor(v)...)
	if s.Blind != "" {
		found = append(found, finding{name, levelFail, "it cannot look at the engine: " + s.Blind,
			"let the edge's user read the engine's socket, or name another with --engine; until then it serves only containers whose processes it sees"})
	}
	if h, err := d.engine.Host(ctx); err == nil && h.Apart != "" {
		found = append(found, finding{name, levelWarn, h.Apart + ": Docker keeps every port", "set edge to off; without a gap, ports need an engine whose containers the host reaches"})
	}
	found = append(found, d.edgePorts(s)...)
	found = append(found, edgeReplicas(s, d.now())...)
	return append(found, d.edgeFirewall(s)...)
}

// edgeOwner says when the edge serves another davit than the one of this data directory,
// which is what is left of one that lost its identity.
func (d *doctor) edgeOwner(s traffic.State) []finding {
	id, err := recognise(d.config.Data)
	if err != nil || s.Instance == "" || s.Instance == id.instance {
		return nil // another check says what is wrong with the identity
	}
	return one("edge", levelWarn, fmt.Sprintf("it serves what the davit %s told it, and here is %s", s.Instance, id.instance),
		"the agent takes over what is served when it next changes that; it takes over the containers with `davit adopt STACK --take-over`")
}

// noEdge is what it means that none runs.
func (d *doctor) noEdge() []finding {
	const name = "edge"
	start := "`systemctl enable --now davit-edge` with deploy/systemd/davit-edge.service, the services edge of deploy/compose.yaml, or `davit edge` by hand"
	switch {
	case d.config.Edge == "off":
		return one(name, levelOK, "off: Docker publishes all ports", "")
	case traffic.Left(traffic.Dir(d.config.Data)):
		return one(name, levelFail, "none runs, and one has served here: nobody answers at its ports", "start it again: "+start)
	case d.config.Edge == "on":
		return one(name, levelFail, "none runs, and the setting edge is on", "start it: "+start)
	}
	return one(name, levelOK, "none runs: Docker publishes all ports, and whoever has one is replaced with a gap", "without a gap: "+start)
}

func (d *doctor) edgeVersion(v traffic.Versions, s traffic.State) finding {
	f := finding{Check: "edge", Level: levelOK, Seen: fmt.Sprintf("version %s serves table %d: %d ports, %d replicas", v.Program, s.Generation, len(s.Ports), len(s.Replicas))}
	if s.Elders > 0 {
		f.Seen += fmt.Sprintf("; before it, %d have something to finish", s.Elders)
	}
	if v.Program != programVersion() {
		f.Level, f.Seen = levelWarn, f.Seen+"; this is "+programVersion()
		f.Advice = "`systemctl reload davit-edge`, or `davit edge --takeover --detach`, upgrades it and refuses no connection"
	}
	return f
}

// edgeSupervisor says who starts the edge again, by its control group.
func (d *doctor) edgeSupervisor(v traffic.Versions) []finding {
	const name = "edge supervisor"
	groups, err := os.ReadFile(filepath.Join(d.root, "proc", fmt.Sprint(v.PID), "cgroup"))
	if err != nil {
		return nil // it runs where its process cannot be seen
	}
	switch text := string(groups); {
	case strings.Contains(text, "davit-edge"):
		return one(name, levelOK, "systemd, davit-edge.service", "")
	case strings.Contains(text, "/docker") || strings.Contains(text, "containerd") || strings.Contains(text, "libpod"):
		return one(name, levelOK, "a container's", "")
	}
	return one(name, levelWarn, "nobody starts the edge again but an agent that was started by hand, and nobody after a reboot",
		"install deploy/systemd/davit-edge.service, or run it as deploy/compose.yaml does")
}

// edgePorts are the ports at which the edge cannot answer.
func (d *doctor) edgePorts(s traffic.State) []finding {
	var found []finding
	for _, p := range s.Ports {
		where := fmt.Sprintf("%s of %s in %s", p.Key, p.Service, p.Stack)
		switch {
		case p.Closed != "" && !p.NoFamily():
			f := finding{"edge ports", levelFail, where + " is not open: " + p.Closed, "find out who has it: ss -lnp"}
			if who := d.holder(p.HostPort()); who != "" {
				f.Seen, f.Advice = f.Seen+"; "+who+" has it", "stop that program, or publish another port: the edge opens it within a second"
			}
			found = append(found, f)
		case !p.Parked.IsZero():
			found = append(found, finding{"edge ports", levelWarn,
				fmt.Sprintf("%s has had no replica that is ready for %s, and %d wait", where, d.now().Sub(p.Parked).Round(time.Second), p.Waiting),
				"`davit status " + p.Stack + "` and `docker ps` say what its containers do"})
		}
	}
	return found
}

// doubtful is how long an address may be unconfirmed before that is worth a word.
const doubtful = 5 * time.Second

// edgeReplicas are the replicas that the edge passes over.
func edgeReplicas(s traffic.State, now time.Time) []finding {
	var found []finding
	for _, r := range s.Replicas {
		where := r.Replica + " of " + r.Stack
		switch {
		case r.Ejected:
			found = append(found, finding{"edge replicas", levelWarn, where + " is passed over: " + r.Reason, "`docker logs " + r.Container[:min(12, len(r.Container))] + "`"})
		case !r.Confirmed && !r.Draining && now.Sub(s.Since) > doubtful:
			found = append(found, finding{"edge replicas", levelWarn, where + " gets nothing: whose its address is has not been confirmed",
				"the engine has to answer the edge, or the edge to see the host's processes, as with `pid: host` in a container"})
		}
	}
	return found
}

// edgeFirewall says by which chain clients come to the edge.
func (d *doctor) edgeFirewall(s traffic.State) []finding {
	if len(s.Ports) == 0 {
		return nil
	}
	const seen = "%s is on, and holds for the edge's ports as for those of any program, unlike for Docker's: containers that call them at the host's address come in there, too"
	if text, err := os.ReadFile(filepath.Join(d.root, "etc/ufw/ufw.conf")); err == nil && bytes.Contains(text, []byte("ENABLED=yes")) {
		return one("edge firewall", levelWarn, fmt.Sprintf(seen, "ufw"), "ufw allow PORT/tcp for each that clients are to reach; rules in DOCKER-USER do not see them")
	}
	if _, err := os.Stat(filepath.Join(d.root, "run/firewalld")); err == nil {
		return one("edge firewall", levelWarn, fmt.Sprintf(seen, "firewalld"), "firewall-cmd --add-port=PORT/tcp for each that clients are to reach; rules in DOCKER-USER do not see them")
	}
	return nil
}

// portsCheck asks whether another program has a host port that a stack declares.
func (d *doctor) portsCheck(ctx context.Context) []finding {
	const name = "host ports"
	declared, err := lastDeclared(ctx, d.config)
	if err != nil {
		return nil // the record's own check says why not
	}
	edge, _ := d.edge.Versions(ctx) // without one there is no process to know
	var found []finding
	ports := 0
	for _, p := range declared {
		for _, s := range p.Services {
			for _, port := range s.Ports {
				h := reconcile.HostPortOf(port)
				ports++
				if who := d.holder(h); h.Balancer == "" && strange(who, edge.PID) {
					found = append(found, finding{name, levelFail, fmt.Sprintf("%s of %s in %s is taken by %s", h, s.Name, p.Name, who),
						"stop that program, or publish another port"})
				}
			}
		}
	}
	if len(found) == 0 && ports > 0 {
		return one(name, levelOK, fmt.Sprintf("%d are declared, and no other program is seen to have one", ports), "")
	}
	return found
}

// strange reports whether a port's holder is neither the edge nor the engine. A holder
// that cannot be seen is nobody.
func strange(who string, edge int) bool {
	for _, ours := range []string{"docker-proxy ", "dockerd ", "rootlesskit ", "rootlessport ", "davit "} {
		if strings.HasPrefix(who, ours) {
			return false
		}
	}
	return who != "" && !strings.HasSuffix(who, fmt.Sprintf("process %d)", edge))
}
