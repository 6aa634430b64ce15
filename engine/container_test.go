package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
)

// project is an empty project on the lab's engine.
func (l lab) stack() *compose.Project {
	return &compose.Project{
		Name: l.project, Files: []string{"compose.yaml"}, WorkingDir: l.TempDir(),
		Model: &types.Project{
			Name:     l.project,
			Networks: types.Networks{"default": {Name: l.project + "_default"}, "other": {Name: l.project + "_other"}},
			Volumes:  types.Volumes{}, Configs: types.Configs{}, Secrets: types.Secrets{},
		},
	}
}

func onNetworks(keys ...string) types.ServiceConfig {
	s := types.ServiceConfig{Name: "web"}
	s.Networks = map[string]*types.ServiceNetworkConfig{}
	for _, k := range keys {
		s.Networks[k] = nil
	}
	return s
}

func (l lab) request(p *compose.Project, cfg types.ServiceConfig, name string) reconcile.CreateRequest {
	l.Helper()
	for key := range cfg.Networks {
		if err := l.engine.CreateNetwork(l.Context(), p, key); err != nil {
			l.Fatal(err)
		}
	}
	return reconcile.CreateRequest{
		Project: p, Service: compose.Service{Name: cfg.Name, Config: cfg, Hash: "v1:one", ConfigHash: "c0ffee"},
		Image: l.image(l.T, l.project+":app", enginetest.Behaviour{}), Number: 1, Release: 1, Restart: "no",
		Create: reconcile.Create{Name: l.project + "-" + name, Final: l.project + "-" + name},
	}
}

func (l lab) create(r reconcile.CreateRequest) string {
	l.Helper()
	id, err := l.engine.Create(l.Context(), r)
	if err != nil {
		l.Fatal(err)
	}
	return id
}

func (l lab) start(id string) {
	l.Helper()
	if err := l.engine.Start(l.Context(), id); err != nil {
		l.Fatal(err)
	}
}

func (l lab) inspect(id string) container.InspectResponse {
	l.Helper()
	c, err := l.docker.ContainerInspect(l.Context(), id)
	if err != nil {
		l.Fatal(err)
	}
	return c
}

func TestAContainerIsFoundByItsServiceOnlyOnceItJoined(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	web := onNetworks("default", "other")
	p.Model.Networks["other"] = types.NetworkConfig{Name: l.project + "_other",
		Ipam: types.IPAMConfig{Config: []*types.IPAMPool{{Subnet: "10.213.77.0/24"}}}}
	r := l.request(p, web, "web-1")
	id := l.create(r)
	peer := l.create(l.request(p, onNetworks("default"), "peer-1"))
	l.start(id)
	l.start(peer)
	before := l.inspect(id).NetworkSettings.Networks
	if got := l.exec(peer, "/app", "resolve", "web"); got != "nothing" {
		t.Errorf("before the join web is %q", got)
	}
	if got := l.exec(peer, "/app", "resolve", l.project+"-web-1"); got != before[l.project+"_default"].IPAddress {
		t.Errorf("before the join its own name is %q", got)
	}
	if err := l.engine.Join(t.Context(), id, p, r.Service); err != nil {
		t.Fatal(err)
	}
	after := l.inspect(id).NetworkSettings.Networks
	for _, name := range []string{l.project + "_default", l.project + "_other"} {
		if before[name].IPAddress == "" || after[name].IPAddress != before[name].IPAddress {
			t.Errorf("the address in %s was %q and is %q", name, before[name].IPAddress, after[name].IPAddress)
		}
	}
	if got := l.exec(peer, "/app", "resolve", "web"); got != after[l.project+"_default"].IPAddress {
		t.Errorf("after the join web is %q", got)
	}
	moved := after[l.project+"_default"].EndpointID
	if err := l.engine.Join(t.Context(), id, p, r.Service); err != nil {
		t.Fatal(err)
	}
	if again := l.inspect(id).NetworkSettings.Networks[l.project+"_default"].EndpointID; again != moved {
		t.Error("a second join took it out of the network again")
	}
}

func TestJoinMendsWhatAnInterruptedJoinLeft(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	r := l.request(p, onNetworks("default", "other"), "web-1")
	id := l.create(r)
	l.start(id)
	if err := l.docker.NetworkDisconnect(t.Context(), l.project+"_default", id, false); err != nil {
		t.Fatal(err)
	}
	if err := l.engine.Join(t.Context(), id, p, r.Service); err != nil {
		t.Fatal(err)
	}
	for name, end := range l.inspect(id).NetworkSettings.Networks {
		if !strings.Contains(strings.Join(end.Aliases, " "), "web") {
			t.Errorf("in %s it has only the names %v", name, end.Aliases)
		}
	}
}

func TestAJoinThatFailsLeavesTheContainerAsItWas(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	cfg := onNetworks("default")
	r := l.request(p, cfg, "web-1")
	id := l.create(r)
	l.start(id)
	// An address that no subnet of the network holds cannot be had.
	r.Service.Config.Networks["default"] = &types.ServiceNetworkConfig{Ipv4Address: "203.0.113.7"}
	if err := l.engine.Join(t.Context(), id, p, r.Service); err == nil {
		t.Fatal("the join succeeded")
	}
	if end := l.inspect(id).NetworkSettings.Networks[l.project+"_default"]; end == nil || end.IPAddress == "" {
		t.Errorf("the container is out of its network: %+v", end)
	}
}

func TestConfigsAndSecretsAreThereBeforeTheStart(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	mode := types.FileMode(0o440)
	p.Model.Configs["inline"] = types.ConfigObjConfig{Name: "inline", Content: "port = 80"}
	p.Model.Secrets["token"] = types.SecretConfig{Name: "token", Environment: "TOKEN", Content: "hush"}
	cfg := onNetworks("default", "other")
	cfg.Configs = []types.ServiceConfigObjConfig{{Source: "inline", Target: "etc/app.conf"}}
	cfg.Secrets = []types.ServiceSecretConfig{{Source: "token", UID: "1000", GID: "1001", Mode: &mode}}
	id := l.create(l.request(p, cfg, "web-1"))
	if name := l.inspect(id).Name; name != "/"+l.project+"-web-1" {
		t.Errorf("the container is called %s", name)
	}
	l.start(id)
	for path, want := range map[string]string{
		"/etc/app.conf":      "444 0:0 port = 80",
		"/run/secrets/token": "440 1000:1001 hush",
	} {
		if got := l.exec(id, "/app", "stat", path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestACreateThatWasInterruptedIsDoneAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	r := l.request(p, onNetworks("default", "other"), "web-1")
	// What an agent leaves that died after its first request.
	labels := map[string]string{
		"com.docker.compose.project": l.project, "com.docker.compose.service": "web",
		"davit.instance": instance, "davit.spec": "v1:one", "davit.release": "1",
	}
	left, err := l.docker.ContainerCreate(t.Context(), &container.Config{Image: r.Image.ID, Labels: labels}, &container.HostConfig{},
		&network.NetworkingConfig{}, nil, "davit-incomplete."+l.project+"-web-1")
	if err != nil {
		t.Fatal(err)
	}
	o, err := l.engine.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range o.Containers {
		if c.ID == left.ID && c.Spec != "" {
			t.Errorf("half a container is shown with spec %s", c.Spec)
		}
	}
	id := l.create(r)
	if id == left.ID {
		t.Error("half a container was taken for a whole one")
	}
	if n := len(l.inspect(id).NetworkSettings.Networks); n != 2 {
		t.Errorf("the container is in %d networks", n)
	}
	if _, err := l.docker.ContainerInspect(t.Context(), left.ID); err == nil {
		t.Error("the half container is still there")
	}
}

func TestACreateThatFailsHalfWayLeavesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	p.Model.Configs["inline"] = types.ConfigObjConfig{Name: "inline", Content: "x"}
	cfg := onNetworks("default", "other")
	cfg.Configs = []types.ServiceConfigObjConfig{{Source: "inline", Target: "/app/below/a/file"}}
	if _, err := l.engine.Create(t.Context(), l.request(p, cfg, "web-1")); err == nil || !strings.Contains(err.Error(), "write configs") {
		t.Fatalf("create: %v", err)
	}
	o, err := l.engine.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range o.Containers {
		if c.Stack == l.project {
			t.Errorf("container %s was left", c.Name)
		}
	}
}

func TestLabelsAreComposesOwn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	cfg := onNetworks("default")
	cfg.Labels = types.Labels{"mine": "kept", "com.docker.compose.service": "lost"}
	cfg.DependsOn = types.DependsOnConfig{
		"db":    {Condition: types.ServiceConditionHealthy, Required: true},
		"cache": {Condition: types.ServiceConditionStarted, Restart: true},
	}
	r := l.request(p, cfg, "web-1")
	r.Version = "v1.2.3"
	got := l.inspect(l.create(r)).Config.Labels
	for name, want := range map[string]string{
		"mine":                                    "kept",
		"com.docker.compose.project":              l.project,
		"com.docker.compose.service":              "web",
		"com.docker.compose.container-number":     "1",
		"com.docker.compose.oneoff":               "False",
		"com.docker.compose.config-hash":          "c0ffee",
		"com.docker.compose.depends_on":           "cache:service_started:true,db:service_healthy:false",
		"com.docker.compose.image":                r.Image.ID,
		"com.docker.compose.project.working_dir":  p.WorkingDir,
		"com.docker.compose.project.config_files": p.WorkingDir + "/compose.yaml",
		"davit.instance":                          instance,
		"davit.release":                           "1",
		"davit.version":                           "v1.2.3",
		"davit.spec":                              "v1:one",
		"davit.image":                             r.Image.ID,
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
}

func TestAStopLastsForTheGracePeriodOfADeafContainer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	cfg := onNetworks("default")
	grace := types.Duration(1500 * time.Millisecond)
	cfg.StopGracePeriod = &grace
	r := l.request(p, cfg, "web-1")
	r.Image = l.image(t, l.project+":deaf", enginetest.Behaviour{IgnoresTERM: true})
	id := l.create(r)
	l.start(id)
	if err := l.engine.Stop(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if code := l.inspect(id).State.ExitCode; code != 137 {
		t.Errorf("it ended with code %d", code)
	}
}

func TestANetworkOfAnotherProjectIsNotUsed(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	p := l.stack()
	_, err := l.docker.NetworkCreate(t.Context(), l.project+"_default", network.CreateOptions{
		Labels: map[string]string{"com.docker.compose.project": "somebody-else"},
	})
	if err != nil {
		t.Fatal(err)
	}
	err = l.engine.CreateNetwork(t.Context(), p, "default")
	if err == nil || !strings.Contains(err.Error(), "somebody-else") || reconcile.Hint(err) == "" {
		t.Errorf("create network: %v (hint %q)", err, reconcile.Hint(err))
	}
}
