package compose

import (
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

func TestTheEnginesSocketComesAsComposeGivesIt(t *testing.T) {
	p := load(t, one(`
services:
  a: {image: a, use_api_socket: true}
  b: {image: b, use_api_socket: true, environment: {DOCKER_CONFIG: /mine}, configs: [c]}
configs: {c: {content: x}}
`))
	for i, want := range []string{"/run/secrets/docker", "/mine"} {
		s := p.Services[i].Config
		if got := s.Environment["DOCKER_CONFIG"]; got == nil || *got != want {
			t.Errorf("%s: the credentials are at %v, want %s", s.Name, got, want)
		}
		if !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == "/var/run/docker.sock" }) {
			t.Errorf("%s has no socket: %v", s.Name, s.Volumes)
		}
		if last := s.Configs[len(s.Configs)-1]; last.Source != APISocketConfig || last.Target != "/run/secrets/docker/config.json" || len(s.Configs) != i+1 {
			t.Errorf("%s has the configs %v", s.Name, s.Configs)
		}
	}
	if _, ok := p.Model.Configs[APISocketConfig]; !ok {
		t.Errorf("there are only the configs %v", p.Model.Configs)
	}
}

func TestAVolumeOfADirectoryIsDataOfTheStack(t *testing.T) {
	files := func(device string) map[string]string {
		return map[string]string{
			"app/compose.yaml": "services: {a: {image: a, volumes: ['v:/v', './seed:/s:ro']}}\nvolumes: {v: {driver: local, driver_opts: {type: none, o: bind, device: " + device + "}}}",
			"app/seed/x":       "x",
		}
	}
	for device, want := range map[string]string{"./data": "/data/stacks/app/data", "/srv": "/srv", "seed": "/data/stacks/app/seed"} {
		p := load(t, files(device))
		if got := p.Model.Volumes["v"].DriverOpts["device"]; got != want {
			t.Errorf("%s becomes %s, want %s", device, got, want)
		}
	}
	// What a container may write to by way of a volume is nobody's immutable content.
	if s := load(t, files("seed")).Services[0].Config.Volumes[1]; s.Source != "/data/stacks/app/seed" {
		t.Errorf("it is mounted from %s as well", s.Source)
	}
	moved, err := load(t, files("./data")).Relocated(Origin{WorkingDir: "/home/me/app"})
	if err != nil {
		t.Fatal(err)
	}
	if got := moved.Model.Volumes["v"].DriverOpts["device"]; got != "/home/me/app/data" {
		t.Errorf("an adopted one is at %s", got)
	}
	root := write(t, files("../../etc"))
	if _, err := Load(t.Context(), find(t, root), options(root)); err == nil || !strings.Contains(err.Error(), "volumes.v.driver_opts.device") {
		t.Errorf("a directory outside of the repository: %v", err)
	}
}

func TestAProfileOfTheRepositoryIsReadIn(t *testing.T) {
	files := map[string]string{
		"app/compose.yaml": "services: {a: {image: a, security_opt: ['seccomp:./p.json', 'no-new-privileges:true', 'seccomp=unconfined', 'seccomp=/etc/p.json']}}",
		"app/p.json":       "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}",
	}
	p := load(t, files)
	want := []string{`seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`, "no-new-privileges:true", "seccomp=unconfined", "seccomp=/etc/p.json"}
	if got := p.Services[0].Config.SecurityOpt; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	files["app/p.json"] = `{"defaultAction":"SCMP_ACT_ERRNO"}`
	other := load(t, files)
	if other.Services[0].Hash == p.Services[0].Hash {
		t.Error("another profile does not roll the service")
	}
	if other.Services[0].ConfigHash != p.Services[0].ConfigHash {
		t.Error("Compose's hash is of the file's name")
	}
}

func TestRawVariablesAreTakenAsTheyAre(t *testing.T) {
	p := load(t, map[string]string{
		"compose.yaml": "services: {a: {image: a, env_file: [{path: raw.env, format: raw}]}}",
		".env":         "ABOVE=up\n",
		"raw.env":      "# a comment\n\n  A=\"quoted\" ${B} # kept\nEMPTY=\nABOVE\nUNKNOWN\nB='x'\n",
	})
	got := p.Services[0].Config.Environment
	want := map[string]string{"A": `"quoted" ${B} # kept`, "EMPTY": "", "ABOVE": "up", "B": "'x'"}
	for name, value := range want {
		if v := got[name]; v == nil || *v != value {
			t.Errorf("%s is %v, want %q", name, v, value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	for _, mistake := range []string{"=x", "A B=x"} {
		root := write(t, map[string]string{"compose.yaml": "services: {a: {image: a, env_file: [{path: raw.env, format: raw}]}}", "raw.env": "\n" + mistake})
		if _, err := Load(t.Context(), find(t, root), options(root)); err == nil || !strings.Contains(err.Error(), "raw.env:2") {
			t.Errorf("%q: %v", mistake, err)
		}
	}
}
