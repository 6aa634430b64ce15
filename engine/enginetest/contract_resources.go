package enginetest

import (
	"context"
	"errors"
	"sync"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/engine"
	"davit/reconcile"
)

func joins(r *rig) {
	s := r.service(nil)
	name := r.Project + "-web-1"
	id := r.plain(1, nil)
	r.start(id)
	front, back := r.Project+"_front", r.Project+"_back"
	before := r.observed(id)
	sameList(r, "the names before", before.Endpoints[front].Aliases, []string{})
	sameList(r, "the names before", before.Endpoints[back].Aliases, []string{})
	for range 2 {
		r.must(r.Engine.Join(r.Context(), id, r.p, s))
		after := r.observed(id)
		sameList(r, "the names in front", after.Endpoints[front].Aliases, []string{name, "shopfront", "web"})
		sameList(r, "the names in back", after.Endpoints[back].Aliases, []string{name, "web"})
		for _, network := range []string{front, back} {
			same(r, "the address in "+network, after.Endpoints[network].IP, before.Endpoints[network].IP)
			if before.Endpoints[network].IP == "" {
				r.Error("no address in " + network)
			}
		}
	}
	r.must(r.Engine.Stop(r.Context(), id))
	for range 2 {
		r.must(r.Engine.Leave(r.Context(), id, r.p, s))
		sameList(r, "the names of one that left", r.observed(id).Endpoints[back].Aliases, []string{})
	}
	r.start(id)
	r.must(r.Engine.Join(r.Context(), id, r.p, s))
	sameList(r, "the names of one that came back", r.observed(id).Endpoints[back].Aliases, []string{name, "web"})
	r.must(r.Engine.Leave(r.Context(), id, r.p, s))
	aside := r.observed(id)
	sameList(r, "the names of one that runs on", aside.Endpoints[back].Aliases, []string{})
	if !aside.Running() || aside.Endpoints[back].IP == "" {
		r.Error("one that left while it ran is not where it was")
	}
	q := r.request(s, r.Image(r.T, r.Project+":plain", Behaviour{}), 2)
	q.Create.Alias = true
	q.Create.Name = r.Project + "-lent"
	born := r.observed(r.create(q))
	sameList(r, "the names of one born with them", born.Endpoints[back].Aliases, []string{r.Project + "-web-2", "web"})
}

func networks(r *rig) {
	ctx := r.Context()
	r.networks()
	r.networks()
	o, err := r.Engine.Observe(ctx)
	r.must(err)
	var front string
	count := 0
	for _, n := range o.Networks {
		if n.Name == r.Project+"_front" {
			front = n.ID
			count++
		}
	}
	same(r, "the number of networks", count, 1)
	err = r.Engine.CreateNetwork(ctx, r.p, "there")
	r.fails("an external network that is missing", err, r.Project+"_there")
	if reconcile.Hint(err) == "" {
		r.Error("no hint says what to do")
	}
	r.fails("an undeclared network", r.Engine.CreateNetwork(ctx, r.p, "nowhere"), "nowhere")
	id := r.plain(1, nil)
	r.start(id)
	r.fails("removing a network in use", r.Engine.RemoveNetwork(ctx, front))
	r.must(r.Engine.Stop(ctx, id))
	r.must(r.Engine.Remove(ctx, id))
	r.must(r.Engine.RemoveNetwork(ctx, front))
	r.must(r.Engine.RemoveNetwork(ctx, front))
	r.must(r.Engine.RemoveNetwork(ctx, r.networkID("_back")))
}

func (r *rig) networkID(suffix string) string {
	o, err := r.Engine.Observe(r.Context())
	r.must(err)
	for _, n := range o.Networks {
		if n.Name == r.Project+suffix {
			return n.ID
		}
	}
	r.Fatalf("no network %s%s", r.Project, suffix)
	return ""
}

func volumes(r *rig) {
	ctx := r.Context()
	r.networks()
	r.must(r.Engine.CreateVolume(ctx, r.p, "data"))
	r.must(r.Engine.CreateVolume(ctx, r.p, "data"))
	err := r.Engine.CreateVolume(ctx, r.p, "there")
	r.fails("an external volume that is missing", err, r.Project+"_there")
	if reconcile.Hint(err) == "" {
		r.Error("no hint says what to do")
	}
	image := r.Image(r.T, r.Project+":volumes", Behaviour{Volumes: []string{"/declared", "/covered"}})
	sameList(r, "the image's volumes", image.Volumes, []string{"/covered", "/declared"})
	s := r.service(func(s *types.ServiceConfig) {
		s.Volumes = []types.ServiceVolumeConfig{
			{Type: types.VolumeTypeVolume, Source: "data", Target: "/covered"},
			{Type: types.VolumeTypeVolume, Target: "/anonymous"},
		}
	})
	first := r.inspect(r.create(r.request(s, image, 1)))
	same(r, "the number of volumes", len(first.Volumes), 3)
	same(r, "the named volume", first.Volumes["/covered"], r.Project+"_data")
	q := r.request(s, image, 2)
	q.Create.Carry = map[string]string{"/anonymous": first.Volumes["/anonymous"], "/declared": first.Volumes["/declared"]}
	second := r.inspect(r.create(q))
	for _, path := range []string{"/covered", "/anonymous", "/declared"} {
		same(r, "the volume at "+path, second.Volumes[path], first.Volumes[path])
	}
	fresh := r.inspect(r.create(r.request(s, image, 3)))
	if fresh.Volumes["/declared"] == first.Volumes["/declared"] || fresh.Volumes["/anonymous"] == first.Volumes["/anonymous"] {
		r.Error("a volume was shared that nobody carried over")
	}
}

func images(r *rig) {
	ctx := r.Context()
	_, err := r.Engine.LocalImage(ctx, r.Project+":nothing")
	r.is("a missing tag", err, reconcile.ErrImageMissing)
	image := r.Image(r.T, r.Project+":one", Behaviour{})
	for _, ref := range []string{r.Project + ":one", image.ID} {
		got, err := r.Engine.LocalImage(ctx, ref)
		r.must(err)
		same(r, "the ID of "+ref, got.ID, image.ID)
		same(r, "local", got.Local, true)
	}
	got, err := r.Engine.Pull(ctx, image)
	r.must(err)
	same(r, "the pulled ID", got.ID, image.ID)

	keep := engine.KeepPrefix + r.Project + "/web:7"
	r.must(r.Engine.Tag(ctx, image.ID, keep))
	r.must(r.Engine.Tag(ctx, image.ID, keep))
	tags, err := r.Engine.KeepTags(ctx)
	r.must(err)
	same(r, "the kept image", tags[keep], image.ID)
	r.is("tagging what is missing", r.Engine.Tag(ctx, r.Project+":nothing", keep+"8"), reconcile.ErrImageMissing)

	r.networks()
	id := r.create(r.request(r.service(nil), image, 1))
	r.must(r.Engine.Untag(ctx, r.Project+":one"))
	r.is("taking the last name of an image in use", r.Engine.Untag(ctx, keep), engine.ErrImageInUse)
	r.is("removing an image in use", r.Engine.RemoveImage(ctx, image.ID), engine.ErrImageInUse)
	r.must(r.Engine.Remove(ctx, id))
	r.must(r.Engine.RemoveImage(ctx, image.ID))
	r.must(r.Engine.RemoveImage(ctx, image.ID))
	r.must(r.Engine.Untag(ctx, keep))
	_, err = r.Engine.LocalImage(ctx, image.ID)
	r.is("the removed image", err, reconcile.ErrImageMissing)
}

func tellsStops(r *rig) {
	ctx, cancel := context.WithCancel(r.Context())
	var mu sync.Mutex
	var seen []engine.Change
	ended := make(chan error)
	go func() {
		ended <- r.Engine.Events(ctx, func(c engine.Change) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, c)
		})
	}()
	find := func(f func(engine.Change) bool) bool {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range seen {
			if f(c) {
				return true
			}
		}
		return false
	}
	r.until("the stream", func() bool {
		return find(func(c engine.Change) bool { return c.Kind == engine.EngineRecovered })
	})
	ours, theirs := r.plain(1, nil), r.plain(2, nil)
	for _, id := range []string{ours, theirs} {
		r.start(id)
		r.until("its start", func() bool {
			return find(func(c engine.Change) bool {
				return c.Container == id && c.Action == "start" && c.Stack == r.Project && c.Service == "web"
			})
		})
	}
	r.must(r.Engine.Stop(r.Context(), ours))
	r.StopByHand(r.T, theirs)
	r.until("the stop by hand", func() bool {
		return find(func(c engine.Change) bool { return c.Container == theirs && c.Action == "stop" && c.ByHand })
	})
	if find(func(c engine.Change) bool { return c.Container == ours && c.ByHand }) {
		r.Error("our own stop passes for a person's")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		r.Errorf("Events ended with %v", err)
	}
}
