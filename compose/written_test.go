package compose

import (
	"encoding/json"
	"testing"
)

// The sums are what Compose v5.5.1 made of these files in /tmp/davit-hash/app, with
// `config --hash '*'`.
func TestHashesAreComposesInAnyProjectDirectory(t *testing.T) {
	p := load(t, map[string]string{
		"common/x": "x", "app/c.conf": "c", "app/lab": "a.b=c\n", "app/e.env": "FROMFILE=1\n",
		"app/compose.yaml": `
name: hashy
services:
  web:
    image: hashy:1
    attach: false
    env_file: e.env
    label_file: lab
    environment: {B: x, A: null}
    command: ["a"]
    volumes: ["./data:/data", "../common:/common:ro", "v:/v", "/abs:/abs"]
    ports: ["8080:80"]
    healthcheck: {test: "true", interval: 5s}
    deploy: {resources: {limits: {memory: 64m}}}
    x-davit: {standby: {for: 0s}}
    configs: [c]
    depends_on: {db: {condition: service_started}}
  db:
    image: db:1
    volumes: [{type: bind, source: ./db, target: /db, bind: {create_host_path: false}}, {type: bind, source: ./db2, target: /db2, read_only: true}]
configs: {c: {file: ./c.conf}}
volumes: {v: {}}
`})
	stored := mustMarshal(t, p)
	back, err := Unmarshal(stored)
	if err != nil {
		t.Fatal(err)
	}
	there := HashContext{Dir: "/tmp/davit-hash/app"}
	for service, want := range map[string]string{
		"db":  "87ab221627cfd76e286adcdde4375329484326de864d44db58130d4e28760eea",
		"web": "35fc651d710d258b3a90178b30f183ec583ba701cf22a60844bb453e279e2117",
	} {
		for when, project := range map[string]*Project{"loaded": p, "stored": back} {
			if got := project.ConfigHash(service, there); got != want {
				t.Errorf("%s, %s: got %s, want %s", service, when, got, want)
			}
		}
		if p.ConfigHash(service, HashContext{Dir: "/elsewhere"}) == want {
			t.Errorf("%s: the directory does not count", service)
		}
		if v2 := p.ConfigHash(service, HashContext{Dir: there.Dir, By: ComposeV2}); v2 == want {
			t.Errorf("%s: both generations hash a bind mount alike", service)
		}
	}
}

func TestHashesNameTheContainersThatAreShared(t *testing.T) {
	w := written{
		"network_mode": json.RawMessage(`"service:web"`), "ipc": json.RawMessage(`"host"`), "pid": json.RawMessage(`"service:gone"`),
		"volumes_from": json.RawMessage(`["db:ro","container:other:ro","gone"]`),
	}
	resolved := written{
		"network_mode": json.RawMessage(`"container:1234"`), "ipc": json.RawMessage(`"host"`), "pid": json.RawMessage(`"service:gone"`),
		"volumes_from": json.RawMessage(`["5678","other","gone"]`),
	}
	got := w.sum(HashContext{Peers: map[string]string{"web": "1234", "db": "5678"}})
	if want := resolved.sum(HashContext{}); got != want {
		t.Error("a service that shares another's namespaces is not hashed with the container's ID")
	}
	if w.sum(HashContext{}) == got {
		t.Error("the containers do not count")
	}
}

func mustMarshal(t *testing.T, p *Project) []byte {
	t.Helper()
	data, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}
