package compose

import (
	"maps"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

func TestAVolumeIsComparedToTheOneThatExists(t *testing.T) {
	declared := func(v types.VolumeConfig) *Project {
		v.Name = "shop_data"
		return &Project{Name: "shop", Model: &types.Project{Volumes: types.Volumes{"data": v}}}
	}
	nfs := types.VolumeConfig{DriverOpts: types.Options{"type": "nfs", "o": "addr=10.0.0.1"}}
	for name, c := range map[string]struct {
		volume types.VolumeConfig
		made   MadeVolume
		want   string
	}{
		"the same hash":                  {types.VolumeConfig{}, MadeVolume{Driver: "local", Hash: declared(types.VolumeConfig{}).VolumeHash("data")}, ""},
		"another generation's hash":      {nfs, MadeVolume{Driver: "local", Options: nfs.DriverOpts, Hash: "0ld"}, ""},
		"made by hand":                   {types.VolumeConfig{}, MadeVolume{Driver: "zfs", Options: map[string]string{"a": "b"}, Labels: map[string]string{"x": "y"}}, ""},
		"made by hand, another driver":   {types.VolumeConfig{Driver: "local"}, MadeVolume{Driver: "zfs"}, "driver zfs -> local"},
		"another driver":                 {types.VolumeConfig{}, MadeVolume{Driver: "zfs", Hash: "0ld"}, "driver zfs -> local"},
		"options changed":                {nfs, MadeVolume{Driver: "local", Options: map[string]string{"type": "cifs", "x": "y"}, Hash: "0ld"}, "driver_opts o added, driver_opts type changed, driver_opts x removed"},
		"a label changed":                {types.VolumeConfig{Labels: types.Labels{"a": "2"}}, MadeVolume{Driver: "local", Labels: map[string]string{"a": "1", "com.docker.compose.volume": "data"}, Hash: "0ld"}, "label a changed"},
		"external ones are nobody's own": {types.VolumeConfig{External: true, Driver: "x"}, MadeVolume{Driver: "local", Hash: "0ld"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := declared(c.volume).VolumeChange("data", c.made); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// The sums are those of docker/compose v5.5.1.
func TestHashesOfResourcesAreThoseOfCompose(t *testing.T) {
	yes := true
	p := &Project{Name: "shop", Model: &types.Project{
		Volumes: types.Volumes{
			"plain":  {Name: "shop_plain"},
			"driven": {Name: "shop_driven", DriverOpts: types.Options{"type": "tmpfs", "device": "tmpfs"}, Labels: types.Labels{"a": "b"}},
		},
		Networks: types.Networks{
			"plain": {Name: "shop_plain"},
			"full": {
				Name: "shop_full", Driver: "bridge", Internal: true, Attachable: true, EnableIPv6: &yes, Labels: types.Labels{"a": "b"},
				Ipam: types.IPAMConfig{Config: []*types.IPAMPool{{Subnet: "10.9.0.0/24", Gateway: "10.9.0.1"}}},
			},
		},
	}}
	got := map[string]string{
		"volume plain": p.VolumeHash("plain"), "volume driven": p.VolumeHash("driven"),
		"network plain": p.NetworkHash("plain"), "network full": p.NetworkHash("full"),
	}
	want := map[string]string{
		"volume plain":  "1d44955c9f5bfb194035a1f759b68823a00f6039ff04b02e3a61311c20324475",
		"volume driven": "ef1b6f1206a393c63f1c8e7db41ef8ed50c84e220fdb23660f88119e008f1d6b",
		"network plain": "fe64e82ac0144a694c5487c03b9b812c82c8504cdc7de5aa78c4ec831183812d",
		"network full":  "172ae6a9ecd45fd36f13dd7f679eaab7a2ddc7e9a01609b27fb90b30ada07df1",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
