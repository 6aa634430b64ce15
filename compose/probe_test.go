package compose

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// probesOf are the probes of a service that declares them.
func probesOf(t *testing.T, probes string) Probes {
	t.Helper()
	return settingsOf(t, "x-davit: {probes: "+probes+"}").Probes
}

func TestAProbeHasTheDefaultsOfKubernetes(t *testing.T) {
	got := probesOf(t, "{startup: {tcp: 8080}, readiness: {http: {port: 8080}}}")
	startup := &Probe{TCP: 8080, Interval: 10 * time.Second, Timeout: time.Second, Success: 1, Failure: 3}
	readiness := &Probe{HTTP: &HTTPProbe{Port: 8080, Path: "/", Low: 200, High: 399}, Interval: 10 * time.Second, Timeout: time.Second, Success: 1, Failure: 3}
	if want := (Probes{Startup: startup, Readiness: readiness}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %+v", got.Startup, got.Readiness)
	}
}

func TestEverythingSaidOfAProbeIsRead(t *testing.T) {
	for text, want := range map[string]Probe{
		"{http: {port: 80, path: /ready?deep=1, host: shop.example, headers: {X-Key: k, X-N: 1}, status: 200-299}, interval: 2, timeout: 500ms, initial_delay: 3s, success: 2, failure: 5}": {
			HTTP:     &HTTPProbe{Port: 80, Path: "/ready?deep=1", Host: "shop.example", Headers: map[string]string{"X-Key": "k", "X-N": "1"}, Low: 200, High: 299},
			Interval: 2 * time.Second, Timeout: 500 * time.Millisecond, InitialDelay: 3 * time.Second, Success: 2, Failure: 5},
		"{http: {port: 80, status: 204}}":           {HTTP: &HTTPProbe{Port: 80, Path: "/", Low: 204, High: 204}, Interval: 10 * time.Second, Timeout: time.Second, Success: 1, Failure: 3},
		"{grpc: {port: 50051, service: shop.Cart}}": {GRPC: &GRPCProbe{Port: 50051, Service: "shop.Cart"}, Interval: 10 * time.Second, Timeout: time.Second, Success: 1, Failure: 3},
		"{exec: [/app, ping]}":                      {Exec: []string{"/app", "ping"}, Interval: 10 * time.Second, Timeout: time.Second, Success: 1, Failure: 3},
	} {
		if got := probesOf(t, "{readiness: "+text+"}").Readiness; !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: got %+v", text, got)
		}
	}
}

func TestAProbeIsNamedWithoutItsSecrets(t *testing.T) {
	for want, p := range map[string]*Probe{
		"http :80/ready":        {HTTP: &HTTPProbe{Port: 80, Path: "/ready?token=s", Headers: map[string]string{"Authorization": "s"}}},
		"tcp :5432":             {TCP: 5432},
		"grpc :50051":           {GRPC: &GRPCProbe{Port: 50051}},
		"grpc :50051 shop.Cart": {GRPC: &GRPCProbe{Port: 50051, Service: "shop.Cart"}},
		"exec /app …":           {Exec: []string{"/app", "--password=s"}},
		"exec /ping":            {Exec: []string{"/ping"}},
	} {
		if got := p.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAProbeIsPutTogetherFromSeveralFiles(t *testing.T) {
	p := load(t, map[string]string{
		"compose.yaml":          "services: {a: {image: a, x-davit: {probes: {readiness: {http: {port: 80}}}}}}",
		"compose.override.yaml": "services: {a: {x-davit: {probes: {readiness: {interval: 1s, http: {path: /ready}}}}}}",
	})
	if got := p.Services[0].Settings.Probes.Readiness; got.String() != "http :80/ready" || got.Interval != time.Second {
		t.Errorf("got %s every %v", got, got.Interval)
	}
}

func TestAProbedServiceIsReadyAtOnce(t *testing.T) {
	for service, want := range map[string]time.Duration{
		"x-davit: {probes: {startup: {tcp: 1}}}":                   0,
		"x-davit: {probes: {readiness: {tcp: 1}}}":                 0,
		"x-davit: {probes: {readiness: {tcp: 1}}, stable_for: 3s}": 3 * time.Second,
		"x-davit: {probes: {}}":                                    5 * time.Second,
	} {
		if got := settingsOf(t, service).StableFor; got != want {
			t.Errorf("%s: %v, want %v", service, got, want)
		}
	}
}

// No container is made of its probes, and Compose knows nothing of them.
func TestAProbeIsNoPartOfAContainersHashes(t *testing.T) {
	without := load(t, one("services: {a: {image: a}}"))
	with := load(t, one("services: {a: {image: a, x-davit: {probes: {readiness: {tcp: 1}}}}}"))
	if a, b := without.Services[0], with.Services[0]; a.Hash != b.Hash || a.ConfigHash != b.ConfigHash || without.Hash == with.Hash {
		t.Errorf("hashes %s %s, config hashes %s %s, projects' %s %s", a.Hash, b.Hash, a.ConfigHash, b.ConfigHash, without.Hash, with.Hash)
	}
}

func TestProbesAreStoredWithTheirProject(t *testing.T) {
	p := load(t, one("services: {a: {image: a, x-davit: {probes: {startup: {exec: [/app]}, readiness: {http: {port: 80, headers: {A: b}}}}}}}"))
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Unmarshal(data)
	if err != nil || !reflect.DeepEqual(back.Services[0].Settings, p.Services[0].Settings) {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestMistakesInProbes(t *testing.T) {
	for name, c := range map[string]struct{ service, want string }{
		"nothing to probe with":     {"x-davit: {probes: {readiness: {interval: 1s}}}", "services.a.x-davit.probes.readiness: needs exactly one of http, tcp, grpc and exec"},
		"two things to probe with":  {"x-davit: {probes: {startup: {tcp: 1, exec: [/a]}}}", "services.a.x-davit.probes.startup: needs exactly one of"},
		"no port":                   {"x-davit: {probes: {readiness: {http: {path: /x}}}}", "services.a.x-davit.probes.readiness: needs the port"},
		"no gRPC port":              {"x-davit: {probes: {readiness: {grpc: {service: x}}}}", "services.a.x-davit.probes.readiness: needs the port"},
		"two lives":                 {"x-davit: {probes: {liveness: {tcp: 1, success: 2}}}", "services.a.x-davit.probes.liveness.success: must be 1"},
		"liveness of nothing":       {"x-davit: {probes: {liveness: {}}}", "services.a.x-davit.probes.liveness: needs exactly one of http, tcp, grpc and exec"},
		"an unknown kind":           {"x-davit: {probes: {ready: {tcp: 1}}}", "services.a.x-davit.probes.ready: unknown key: there are liveness, readiness, startup"},
		"a misspelt key":            {"x-davit: {probes: {readiness: {tcp: 1, periodSeconds: 1}}}", "services.a.x-davit.probes.readiness.periodSeconds: unknown key"},
		"a port too many":           {"x-davit: {probes: {readiness: {tcp: 65536}}}", "services.a.x-davit.probes.readiness.tcp: must be a port"},
		"a path that is none":       {"x-davit: {probes: {readiness: {http: {port: 1, path: ready}}}}", "services.a.x-davit.probes.readiness.http.path: must be a path"},
		"a URL for a path":          {"x-davit: {probes: {readiness: {http: {port: 1, path: 'http://a/'}}}}", "probes.readiness.http.path: must be a path"},
		"a broken escape":           {"x-davit: {probes: {readiness: {http: {port: 1, path: '/%zz'}}}}", "probes.readiness.http.path: \"/%zz\" is no path of a request"},
		"a status that is none":     {"x-davit: {probes: {readiness: {http: {port: 1, status: 99}}}}", "probes.readiness.http.status: must be a status"},
		"a range turned round":      {"x-davit: {probes: {readiness: {http: {port: 1, status: 300-200}}}}", "probes.readiness.http.status: must be a status"},
		"a header with a line feed": {"x-davit: {probes: {readiness: {http: {port: 1, headers: {A: \"b\\nC: d\"}}}}}", "probes.readiness.http.headers.A: must have a value of one line"},
		"a header that is none":     {"x-davit: {probes: {readiness: {http: {port: 1, headers: {'A:': b}}}}}", "is no name of a header"},
		"a host among the headers":  {"x-davit: {probes: {readiness: {http: {port: 1, headers: {host: b}}}}}", "probes.readiness.http.headers.host: is said by http.host"},
		"a line for a command":      {"x-davit: {probes: {readiness: {exec: /app ping}}}", "probes.readiness.exec: must be a list"},
		"no command":                {"x-davit: {probes: {readiness: {exec: []}}}", "probes.readiness.exec: must be a list"},
		"a word that is none":       {"x-davit: {probes: {readiness: {exec: [/app, 1]}}}", "probes.readiness.exec[1]: must be a string"},
		"no interval":               {"x-davit: {probes: {readiness: {tcp: 1, interval: 0s}}}", "probes.readiness.interval: 0s is out of range"},
		"no failure":                {"x-davit: {probes: {readiness: {tcp: 1, failure: 0}}}", "probes.readiness.failure: must be a number of looks"},
		"no network":                {"network_mode: none, x-davit: {probes: {readiness: {tcp: 1}}}", "services.a.x-davit.probes.readiness: davit has no address for a container with network_mode none"},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, one("services:\n  a:\n    {image: a, "+c.service+"}\n"))
			_, err := Load(t.Context(), find(t, root), options(root))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "compose.yaml:3: ") {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestWhatEndsIsNotProbed(t *testing.T) {
	root := write(t, one(`
services:
  job: {image: a, x-davit: {probes: {startup: {tcp: 1}}}}
  web: {image: a, depends_on: {job: {condition: service_completed_successfully}}}
`))
	_, err := Load(t.Context(), find(t, root), options(root))
	if err == nil || !strings.Contains(err.Error(), "compose.yaml:3: services.job.x-davit.probes: others wait for the end of this service") {
		t.Errorf("got %v", err)
	}
}

func TestLivenessMakesNothingReady(t *testing.T) {
	s := settingsOf(t, "x-davit: {probes: {liveness: {tcp: 1}}}")
	if s.Probes.Declared() || !s.Probes.Lasting() || !s.Probes.Dialled() || s.StableFor != 5*time.Second {
		t.Errorf("got %+v, stable for %v", s.Probes, s.StableFor)
	}
	if l := s.Probes.Liveness; l.Interval != 10*time.Second || l.Timeout != time.Second || l.Success != 1 || l.Failure != 3 {
		t.Errorf("got %+v", l)
	}
}

func TestACommandNeedsNoNetwork(t *testing.T) {
	if p := settingsOf(t, "network_mode: none, x-davit: {probes: {readiness: {exec: [/app]}}}").Probes; p.Dialled() || !p.Declared() {
		t.Errorf("got %+v", p)
	}
}
