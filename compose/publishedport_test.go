package compose

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// portsOf are the fixed host ports of a service whose block is x, after a round
// through the record.
func portsOf(t *testing.T, ports, x string) Service {
	t.Helper()
	p := load(t, one("services: {a: {image: a, ports: "+ports+", x-davit: {"+x+"}}}"))
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	stored, err := Unmarshal(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p.Services[0].Ports, stored.Services[0].Ports) || p.Services[0].Drain != stored.Services[0].Drain {
		t.Errorf("%+v became %+v in the record", p.Services[0].Ports, stored.Services[0].Ports)
	}
	return stored.Services[0]
}

func TestFixedHostPortsInAllTheirSpellings(t *testing.T) {
	tcp := func(host, target uint16) PublishedPort {
		return PublishedPort{Network: "tcp", Host: host, Target: target}
	}
	local := tcp(80, 8080)
	local.HostIP = netip.MustParseAddr("127.0.0.1")
	six := tcp(80, 8080)
	six.HostIP = netip.MustParseAddr("::1")
	spoken := tcp(80, 8080)
	spoken.Speaks = PortHTTP
	for ports, want := range map[string][]PublishedPort{
		`["80:8080"]`:                       {tcp(80, 8080)},
		`["127.0.0.1:80:8080"]`:             {local},
		`["[::1]:80:8080"]`:                 {six},
		`["53:53/udp"]`:                     {{Network: "udp", Host: 53, Target: 53}},
		`["3000-3001:3000-3001"]`:           {tcp(3000, 3000), tcp(3001, 3001)},
		`["8080"]`:                          nil, // any free port
		`["9000-9005:80"]`:                  nil, // any free port of these
		`[{target: 8080, published: "80"}]`: {tcp(80, 8080)},
		`[{target: 8080, published: "80", app_protocol: http}]`: {spoken},
	} {
		if got := portsOf(t, ports, "").Ports; !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", ports, got, want)
		}
	}
}

func TestWhatIsSaidOfAPort(t *testing.T) {
	s := portsOf(t, `["80:8080", "53:53", "53:53/udp"]`, `drain: {timeout: 5, streams: 1m}, ports: {
		"8080": {via: edge, protocol: http, affinity: cookie, trusted: [10.1.2.3/8, "::1"], proxy: {accept: true, send: v2}, park: 3s, idle: 1m, max_connections: 7},
		"53/udp": {via: docker}}`)
	web := PortSettings{
		Via: ViaEdge, Speaks: PortHTTP, Affinity: AffinityCookie, AcceptProxy: true, SendProxy: 2,
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Park:    3 * time.Second, Idle: time.Minute, MaxConnections: 7,
	}
	for i, want := range []PortSettings{web, {}, {Via: ViaDocker}} {
		if got := s.Ports[i].PortSettings; !reflect.DeepEqual(got, want) {
			t.Errorf("port %s:\n got %+v\nwant %+v", s.Ports[i].Container(), got, want)
		}
	}
	if want := (Drain{Timeout: 5 * time.Second, Streams: time.Minute}); s.Drain != want || s.Drain.Longest() != time.Minute {
		t.Errorf("drain %+v, want %+v", s.Drain, want)
	}
}

func TestAPortThatALoadBalancerServesNeedsNoHostPort(t *testing.T) {
	balanced := func(target uint16, by string) PublishedPort {
		return PublishedPort{Network: "tcp", Target: target, PortSettings: PortSettings{Via: ViaBalancer, Balancer: by}}
	}
	sticky := balanced(8080, "front")
	sticky.Affinity = AffinitySource
	for ports, c := range map[string]struct {
		x    string
		want []PublishedPort
	}{
		`[]`:                        {`ports: {"8080": {via: front}}`, []PublishedPort{balanced(8080, "front")}},
		`["80:8080"]`:               {`ports: {"8080": {via: front, affinity: source}}`, []PublishedPort{sticky}},
		`["80:8080", "81:8080"]`:    {`ports: {"8080/tcp": {via: front}}`, []PublishedPort{balanced(8080, "front")}},
		`["8080", "443:8443"]`:      {`ports: {"8080": {via: front}}`, []PublishedPort{balanced(8080, "front"), {Network: "tcp", Host: 443, Target: 8443}}},
		`["53:53", "53:53/udp"]`:    {`ports: {"53/tcp": {via: front}}`, []PublishedPort{balanced(53, "front"), {Network: "udp", Host: 53, Target: 53}}},
		`["443:8443", "9090:9090"]`: {`ports: {"8443": {via: front}, "9090": {via: back}}`, []PublishedPort{balanced(8443, "front"), balanced(9090, "back")}},
	} {
		if got := portsOf(t, ports, c.x).Ports; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s with %s:\n got %+v\nwant %+v", ports, c.x, got, c.want)
		}
	}
}

func TestReplicasShareAPortThatALoadBalancerServes(t *testing.T) {
	root := write(t, one(`services: {a: {image: a, scale: 3, ports: ["80:8080"], x-davit: {ports: {"8080": {via: front}}}}}`))
	if _, err := Load(t.Context(), find(t, root), options(root)); err != nil {
		t.Errorf("with a balancer and no edge: %v", err)
	}
}

func TestADrainHasLimitsWhereNothingIsSaid(t *testing.T) {
	if got, want := portsOf(t, `["80:80"]`, "").Drain, (Drain{30 * time.Second, 5 * time.Minute}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestMistakesInPorts(t *testing.T) {
	for block, want := range map[string]string{
		`ports: [8080]`:                                           "x-davit.ports: must be a mapping",
		`ports: {web: {via: edge}}`:                               `x-davit.ports.web: "web" is no port of a container`,
		`ports: {"8080/sctp": {via: edge}}`:                       "is no port of a container",
		`ports: {"9090": {via: edge}}`:                            "x-davit.ports.9090: the service publishes no such port",
		`ports: {"8080": {via: Front}}`:                           `x-davit.ports.8080.via: must be auto, edge, docker, or a load balancer that the host's configuration names, not "Front"`,
		`ports: {"8080": {via: front, park: 1s}}`:                 "x-davit.ports.8080: of a port that is via a load balancer only affinity: source",
		`ports: {"8080": {via: front, protocol: http}}`:           "x-davit.ports.8080: of a port that is via a load balancer only affinity: source",
		`ports: {"8080": {via: front, affinity: cookie}}`:         "x-davit.ports.8080: of a port that is via a load balancer only affinity: source",
		`ports: {"53": {via: front}}`:                             "x-davit.ports.53: load balancers serve TCP ports only",
		`ports: {"9090/udp": {via: front}}`:                       "x-davit.ports.9090/udp: load balancers serve TCP ports only",
		`ports: {"9090": {via: front}, "9090/tcp": {via: front}}`: "x-davit.ports.9090/tcp: is there twice",
		`ports: {"8080": {protocol: smtp}}`:                       "x-davit.ports.8080.protocol: must be one of auto, http, tcp",
		`ports: {"8080": {sticky: true}}`:                         "x-davit.ports.8080.sticky: unknown key",
		`ports: {"8080": {trusted: [10.0.0.0/99]}}`:               `x-davit.ports.8080.trusted[0]: "10.0.0.0/99" is neither an address nor a network`,
		`ports: {"8080": {proxy: {send: v3}}}`:                    "x-davit.ports.8080.proxy.send: must be v1 or v2",
		`ports: {"8080": {proxy: {accept: true}}}`:                "x-davit.ports.8080.proxy.accept: needs trusted",
		`ports: {"8080": {max_connections: 0}}`:                   "x-davit.ports.8080.max_connections: must be a number from 1",
		`ports: {"8080": {protocol: tcp, affinity: cookie}}`:      "x-davit.ports.8080: a port with protocol tcp has no cookies",
		`ports: {"8080": {via: docker, affinity: source}}`:        "x-davit.ports.8080: what else is said of it is for the edge",
		`ports: {"53": {protocol: http}}`:                         "x-davit.ports.53: protocol http is not one of a UDP port",
		`ports: {"53": {proxy: {send: v1}}}`:                      "x-davit.ports.53: the PROXY protocol is for TCP",
		`drain: {timeout: -1s}`:                                   "x-davit.drain.timeout: -1s is out of range",
		`drain: {requests: 1s}`:                                   "x-davit.drain.requests: unknown key",
	} {
		root := write(t, one(`services: {a: {image: a, ports: ["80:8080", "53:53/udp"], x-davit: {`+block+`}}}`))
		_, err := Load(t.Context(), find(t, root), options(root))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", block, err, want)
		}
	}
}

func TestWhatIsSaidOfAPortMakesNoContainerAnew(t *testing.T) {
	plain, said := portsOf(t, `["80:8080"]`, ""), portsOf(t, `["80:8080"]`, `ports: {"8080": {affinity: cookie}}`)
	if plain.Hash != said.Hash {
		t.Error("the container would be made anew for what only the edge is told")
	}
}

func TestReplicasShareAHostPortWhereThereIsAnEdge(t *testing.T) {
	root := write(t, one(`services: {a: {image: a, scale: 3, ports: ["80:8080"]}}`))
	o := options(root)
	if _, err := Load(t.Context(), find(t, root), o); err == nil {
		t.Error("three containers may publish one port")
	}
	o.Edge = true
	if _, err := Load(t.Context(), find(t, root), o); err != nil {
		t.Error(err)
	}
}
