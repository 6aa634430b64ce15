package engine

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/mount"

	"davit/compose"
	"davit/reconcile"
)

func FuzzAServiceIsConvertedOrRefused(f *testing.F) {
	for _, seed := range []string{
		`{}`,
		`{"image":"a","ulimits":{"nofile":null,"core":{"soft":1,"hard":2}},"networks":{"a":null,"b":{"link_local_ips":["",""],"interface_name":"x"}}}`,
		`{"network_mode":"service:db","ipc":"container:","pid":"service:","volumes_from":["db:ro","container:","","container:x:ro"],"links":["db","db:",":","none"],"external_links":["","a:b:c"]}`,
		`{"volumes":[{"type":"volume","target":"/a"},{"type":"bind","source":"/x:y","target":"/b","bind":{}},{"type":"tmpfs"},{"type":"image"},{"type":"volume","source":"data","target":"/c","volume":null}]}`,
		`{"expose":["1-0","-","0","65535/udp","1-70000/x"],"ports":[{"target":0},{"target":80,"published":"x-y"}],"security_opt":["","=","seccomp={","seccomp="],"devices":[{"source":"a/b=c","target":"a/b=c"}]}`,
		`{"deploy":{"resources":{"limits":{"cpus":"x","memory":"-1"},"reservations":{"devices":[{"count":-1}]}}},"cpus":1e30,"healthcheck":{"start_interval":"1s"},"platform":"///","mac_address":"x"}`,
		`{"configs":[{"source":"c","uid":"-1"},{"source":"none"}],"secrets":[{"source":"s","target":""}],"blkio_config":{"weight_device":[{}]},"tmpfs":[":",""],"use_api_socket":true,"read_only":true}`,
	} {
		f.Add(seed, "1.41", true)
		f.Add(seed, "1.51", false)
	}
	f.Fuzz(func(t *testing.T, text, api string, alias bool) {
		s := types.ServiceConfig{Name: "web"}
		if json.Unmarshal([]byte(text), &s) != nil {
			return
		}
		model := &types.Project{
			Name:     "shop",
			Networks: types.Networks{"a": {}, "b": {}}, Volumes: types.Volumes{"data": {}},
			Configs: types.Configs{"c": {Content: "x"}}, Secrets: types.Secrets{"s": {File: "/s"}},
		}
		r := reconcile.CreateRequest{
			Project: &compose.Project{Name: "shop", WorkingDir: "/nowhere", Model: model},
			Service: compose.Service{Name: "web", Config: s}, Number: 1,
			Create: reconcile.Create{Name: "shop-web-1", Alias: alias, Ports: alias},
			Peers:  map[string][]reconcile.Peer{"db": {{ID: "1234", Name: "shop-db-1"}}},
		}
		before, err := json.Marshal(s)
		if err != nil {
			return // no service can be given that cannot be written
		}
		out, err := convert(r, surroundings{API: api, Image: "shop:1"})
		if after, _ := json.Marshal(s); string(after) != string(before) {
			t.Errorf("the service was changed from\n%s to\n%s", before, after)
		}
		if err != nil {
			return
		}
		targets := map[string]bool{}
		for _, m := range out.Host.Mounts {
			if targets[m.Target] {
				t.Errorf("two mounts at %q", m.Target)
			}
			targets[m.Target] = true
			if m.Type == mount.TypeBind && m.Source == "" {
				t.Error("a bind of nothing")
			}
		}
		if _, err := json.Marshal(out); err != nil {
			t.Errorf("the request cannot be sent: %v", err)
		}
		if slices.Contains(out.Host.VolumesFrom, "") {
			t.Error("volumes from nobody")
		}
	})
}
