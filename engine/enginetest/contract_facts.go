package enginetest

import (
	"context"
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/engine"
	"davit/reconcile"
)

func mounts(r *rig) {
	r.networks()
	r.must(r.Engine.CreateVolume(r.Context(), r.p, "data"))
	r.p.Model.Secrets = types.Secrets{"token": {File: r.Dir + "/secret"}}
	image := r.Image(r.T, r.Project+":mounts", Behaviour{Volumes: []string{"/declared"}})
	s := r.service(func(s *types.ServiceConfig) {
		s.Tmpfs = []string{"/scratch", "/fixed:ro,size=64k"}
		s.Secrets = []types.ServiceSecretConfig{{Source: "token"}}
		s.Volumes = []types.ServiceVolumeConfig{
			{Type: types.VolumeTypeBind, Source: r.Dir, Target: "/writable", Bind: &types.ServiceVolumeBind{CreateHostPath: true}},
			{Type: types.VolumeTypeBind, Source: r.Dir, Target: "/readable", ReadOnly: true, Bind: &types.ServiceVolumeBind{CreateHostPath: true}},
			{Type: types.VolumeTypeVolume, Source: "data", Target: "/data"},
			{Type: types.VolumeTypeTmpfs, Target: "/memory"},
		}
	})
	id := r.create(r.request(s, image, 1))
	volume := r.Project + "_data"
	for _, c := range []reconcile.Container{r.observed(id), r.inspect(id), r.observed(id)} {
		want := []reconcile.Mount{
			{Path: "/data", Kind: reconcile.MountVolume, Source: volume, Writable: true},
			{Path: "/declared", Kind: reconcile.MountVolume, Source: c.Volumes["/declared"], Writable: true},
			{Path: "/fixed", Kind: reconcile.MountTmpfs},
			{Path: "/memory", Kind: reconcile.MountTmpfs, Writable: true},
			{Path: "/readable", Kind: reconcile.MountBind, Source: r.Dir},
			{Path: "/run/secrets/token", Kind: reconcile.MountBind, Source: r.Dir + "/secret"},
			{Path: "/scratch", Kind: reconcile.MountTmpfs, Writable: true},
			{Path: "/writable", Kind: reconcile.MountBind, Source: r.Dir, Writable: true},
		}
		if !slices.Equal(c.Mounts, want) {
			r.Errorf("the mounts are\n%+v\nwant\n%+v", c.Mounts, want)
		}
	}
	o, err := r.Engine.Observe(r.Context())
	r.must(err)
	found := slices.DeleteFunc(o.Volumes, func(v reconcile.Volume) bool { return v.Stack != r.Project })
	if want := []reconcile.Volume{{Name: volume, Stack: r.Project, Key: "data", ConfigHash: r.p.VolumeHash("data")}}; !slices.Equal(found, want) {
		r.Errorf("the volumes are %+v, want %+v", found, want)
	}
}

func divergingVolume(r *rig) {
	ctx := r.Context()
	r.must(r.Engine.CreateVolume(ctx, r.p, "data"))
	for what, v := range map[string]types.VolumeConfig{
		"options": {DriverOpts: types.Options{"type": "tmpfs", "device": "tmpfs"}}, "labels": {Labels: types.Labels{"a": "b"}}, "driver": {Driver: "other"},
	} {
		v.Name = r.Project + "_data"
		r.p.Model.Volumes["data"] = v
		err := r.Engine.CreateVolume(ctx, r.p, "data")
		r.fails("declaring other "+what, err, v.Name)
		if reconcile.Hint(err) == "" {
			r.Errorf("no hint says what to do about other %s", what)
		}
	}
	r.p.Model.Volumes["data"] = types.VolumeConfig{Name: r.Project + "_data", External: true}
	r.must(r.Engine.CreateVolume(ctx, r.p, "data"))
}

func shares(r *rig) {
	r.networks()
	r.must(r.Engine.CreateVolume(r.Context(), r.p, "data"))
	image := r.Image(r.T, r.Project+":plain", Behaviour{})
	owner := r.create(r.request(r.service(func(s *types.ServiceConfig) {
		s.Ipc = "shareable"
		s.Volumes = []types.ServiceVolumeConfig{{Type: types.VolumeTypeVolume, Source: "data", Target: "/data"}}
	}), image, 1))
	q := r.request(r.service(func(s *types.ServiceConfig) {
		s.Networks, s.NetworkMode = nil, "service:db"
		s.Pid, s.Ipc = "service:db", "container:"+owner
		s.VolumesFrom = []string{"db:ro"}
	}), image, 2)
	_, err := r.Engine.Create(r.Context(), q)
	r.fails("sharing with nobody", err, "db")
	q.Peers = map[string][]reconcile.Peer{"db": {{ID: owner, Name: r.Project + "-web-1"}}}
	id := r.create(q)
	c := r.inspect(id)
	same(r, "the number of its networks", len(c.Endpoints), 0)
	same(r, "the volume", c.Volumes["/data"], r.Project+"_data")
	r.fails("starting it before its owner", r.Engine.Start(r.Context(), id), "running")
	r.start(owner)
	r.start(id)
}

func recorded(r *rig) {
	c := r.observed(r.plain(1, nil))
	same(r, "the config hash", c.ConfigHash, "c0ffee")
	same(r, "the project directory", c.WorkingDir, "/srv/"+r.Project)
	same(r, "the files", c.ConfigFiles, "/srv/"+r.Project+"/compose.yaml")
	o, err := r.Engine.Observe(r.Context())
	r.must(err)
	for _, n := range o.Networks {
		if n.Name == r.Project+"_front" {
			same(r, "the network's config hash", n.ConfigHash, r.p.NetworkHash("front"))
		}
	}
}

func remembersStops(r *rig) {
	r.listen()
	ours, theirs := r.plain(1, nil), r.plain(2, nil)
	r.start(ours)
	r.start(theirs)
	r.must(r.Engine.Stop(r.Context(), ours))
	r.StopByHand(r.T, theirs)
	r.until("the stop by hand", func() bool { return r.observed(theirs).StopByHand })
	same(r, "what the second look says", r.observed(theirs).StopByHand, true)
	same(r, "what a look at it alone says", r.inspect(theirs).StopByHand, true)
	same(r, "our own stop by hand", r.observed(ours).StopByHand, false)
	r.start(theirs)
	same(r, "one that runs again", r.observed(theirs).StopByHand, false)
	r.must(r.Engine.Stop(r.Context(), theirs))
	same(r, "our stop after theirs", r.observed(theirs).StopByHand, false)

	image := r.Image(r.T, r.Project+":exits", Behaviour{Exits: true, ExitAfter: 50 * time.Millisecond, ExitCode: 1})
	ends := r.create(r.request(r.service(nil), image, 3))
	r.start(ends)
	r.until("its end", func() bool { return r.observed(ends).State == reconcile.Exited })
	same(r, "an end of its own accord", r.observed(ends).StopByHand, false)
}

// listen follows events until the test ends, and returns once the stream is up.
func (r *rig) listen() {
	ctx, cancel := context.WithCancel(r.Context())
	up, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		// It ends with ctx, and that is no news.
		_ = r.Engine.Events(ctx, func(c engine.Change) {
			if c.Kind == engine.EngineRecovered {
				select {
				case up <- struct{}{}:
				default:
				}
			}
		})
	}()
	r.Cleanup(func() { cancel(); <-ended })
	<-up
}
