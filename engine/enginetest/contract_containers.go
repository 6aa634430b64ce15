package enginetest

import (
	"errors"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/reconcile"
)

func createRepeats(r *rig) {
	r.networks()
	image := r.Image(r.T, r.Project+":plain", Behaviour{})
	q := r.request(r.service(nil), image, 1)
	id := r.create(q)
	same(r, "the container of the same request", r.create(q), id)
	r.start(id)
	_, err := r.Engine.Create(r.Context(), q)
	r.fails("creating it again once it was started", err, "taken", id[:12])
}

func nameTaken(r *rig) {
	r.networks()
	image := r.Image(r.T, r.Project+":plain", Behaviour{})
	id := r.create(r.request(r.service(nil), image, 1))
	for _, other := range []struct {
		what string
		edit func(*reconcile.CreateRequest)
	}{
		{"another spec", func(q *reconcile.CreateRequest) { q.Service.Hash = "v1:other" }},
		{"another release", func(q *reconcile.CreateRequest) { q.Release++ }},
	} {
		q := r.request(r.service(nil), image, 1)
		other.edit(&q)
		_, err := r.Engine.Create(r.Context(), q)
		r.fails("taking the name for "+other.what, err, "taken", id[:12], r.Project)
	}
}

func lifecycleRepeats(r *rig) {
	id := r.plain(1, nil)
	ctx := r.Context()
	r.start(id)
	r.start(id)
	same(r, "its state", r.inspect(id).State, reconcile.Running)
	r.fails("removing it while it runs", r.Engine.Remove(ctx, id), "running")
	r.must(r.Engine.Stop(ctx, id))
	r.must(r.Engine.Stop(ctx, id))
	c := r.inspect(id)
	same(r, "its state", c.State, reconcile.Exited)
	if c.Finished.IsZero() || c.Finished.Before(c.Started) {
		r.Errorf("started %s, finished %s", c.Started, c.Finished)
	}
	r.start(id)
	r.must(r.Engine.Stop(ctx, id))
	r.must(r.Engine.Remove(ctx, id))
	r.must(r.Engine.Remove(ctx, id))
}

func missing(r *rig) {
	ctx, id := r.Context(), strings.Repeat("0", 64)
	s := r.service(nil)
	_, err := r.Engine.Inspect(ctx, id)
	r.is("inspect", err, reconcile.ErrContainerMissing)
	_, err = r.Engine.Evidence(ctx, id, 5)
	r.is("evidence", err, reconcile.ErrContainerMissing)
	r.is("start", r.Engine.Start(ctx, id), reconcile.ErrContainerMissing)
	r.is("stop", r.Engine.Stop(ctx, id), reconcile.ErrContainerMissing)
	r.is("rename", r.Engine.Rename(ctx, id, "x"), reconcile.ErrContainerMissing)
	r.is("join", r.Engine.Join(ctx, id, r.p, s), reconcile.ErrContainerMissing)
	r.is("leave", r.Engine.Leave(ctx, id, r.p, s), reconcile.ErrContainerMissing)
	r.is("set restart", r.Engine.SetRestart(ctx, id, "no"), reconcile.ErrContainerMissing)
	r.must(r.Engine.Remove(ctx, id))
}

func readsBack(r *rig) {
	image := reconcile.Image{}
	id := r.plain(3, func(q *reconcile.CreateRequest) { q.Restart = "on-failure:3"; image = q.Image })
	for _, c := range []reconcile.Container{r.observed(id), r.inspect(id)} {
		same(r, "the name", c.Name, r.Project+"-web-3")
		same(r, "the stack", c.Stack, r.Project)
		same(r, "the service", c.Service, "web")
		same(r, "the number", c.Number, 3)
		same(r, "one-off", c.OneOff, false)
		same(r, "the instance", c.Instance, r.Instance)
		same(r, "the release", c.Release, 7)
		same(r, "the version", c.Version, "v1.2.3")
		same(r, "the spec", c.Spec, "v1:"+r.Name())
		same(r, "the image's reference", c.ImageRef, image.Ref)
		same(r, "the image's ID", c.ImageID, image.ID)
		same(r, "the state", c.State, reconcile.Created)
		same(r, "the health", c.Health, reconcile.HealthNone)
		same(r, "the restart policy", c.Restart, "on-failure:3")
		same(r, "the number of networks", len(c.Endpoints), 2)
		if time.Since(c.Created).Abs() > time.Hour || !c.Started.IsZero() || !c.Finished.IsZero() {
			r.Errorf("created %s, started %s, finished %s", c.Created, c.Started, c.Finished)
		}
	}
	o, err := r.Engine.Observe(r.Context())
	r.must(err)
	seen := map[string]reconcile.Network{}
	for _, n := range o.Networks {
		seen[n.Name] = n
	}
	for _, key := range []string{"front", "back"} {
		n := seen[r.Project+"_"+key]
		same(r, "the network's stack", n.Stack, r.Project)
		same(r, "the network's key", n.Key, key)
		same(r, "the network's instance", n.Instance, r.Instance)
		same(r, "the endpoint's network", r.observed(id).Endpoints[n.Name].NetworkID, n.ID)
	}
}

func policies(r *rig) {
	id := r.plain(1, nil)
	for _, policy := range []string{"always", "on-failure", "on-failure:2", "unless-stopped", "no", "no"} {
		r.must(r.Engine.SetRestart(r.Context(), id, policy))
		same(r, "the policy", r.inspect(id).Restart, policy)
		same(r, "the observed policy", r.observed(id).Restart, policy)
	}
	r.fails("setting a policy that is none", r.Engine.SetRestart(r.Context(), id, "sometimes"), "sometimes")
}

func renames(r *rig) {
	first, second := r.plain(1, nil), r.plain(2, nil)
	ctx, name := r.Context(), r.Project+"-web-9"
	r.must(r.Engine.Rename(ctx, first, name))
	r.must(r.Engine.Rename(ctx, first, name))
	same(r, "its name", r.observed(first).Name, name)
	r.fails("taking a name", r.Engine.Rename(ctx, second, name), name)
}

func movedTag(r *rig) {
	r.networks()
	ref := r.Project + ":tag"
	old := r.Image(r.T, ref, Behaviour{Log: "old"})
	r.must(r.Engine.Tag(r.Context(), old.ID, r.Project+":keep"))
	moved := r.Image(r.T, ref, Behaviour{Log: "new"})
	if old.ID == moved.ID {
		r.Fatal("both images are one")
	}
	c := r.inspect(r.create(r.request(r.service(nil), old, 1)))
	same(r, "the image", c.ImageID, old.ID)
	same(r, "the reference", c.ImageRef, old.ID)
	gone := old
	gone.ID = "sha256:" + strings.Repeat("0", 64)
	_, err := r.Engine.Create(r.Context(), r.request(r.service(nil), gone, 2))
	r.is("creating from an image that is gone", err, reconcile.ErrImageMissing)
}

func healthy(r *rig) {
	r.networks()
	image := r.Image(r.T, r.Project+":healthy", Behaviour{Healthcheck: true, HealthyAfter: 300 * time.Millisecond})
	if !image.Healthcheck {
		r.Error("the image's health check is not seen")
	}
	id := r.create(r.request(r.service(nil), image, 1))
	r.start(id)
	same(r, "its health at first", r.observed(id).Health, reconcile.HealthStarting)
	r.until("a healthy container", func() bool { return r.observed(id).Health == reconcile.Healthy })
	text, err := r.Engine.Evidence(r.Context(), id, 5)
	r.must(err)
	if !strings.Contains(text, "last health check") {
		r.Errorf("evidence %q has no health check", text)
	}
}

func examines(r *rig) {
	r.networks()
	image := r.Image(r.T, r.Project+":examined", Behaviour{Healthcheck: true, CheckedEvery: time.Hour, HealthyAfter: 3 * time.Second})
	id := r.create(r.request(r.service(nil), image, 1))
	r.start(id)
	var failed *reconcile.HookFailure
	r.until("an examination that succeeds", func() bool {
		err := r.Engine.Examine(r.Context(), id)
		if err != nil && !errors.As(err, &failed) {
			r.Fatalf("examine: %v", err)
		}
		same(r, "whether it is observed as healthy", r.observed(id).Health == reconcile.Healthy, err == nil)
		return err == nil
	})
	if failed == nil {
		r.Error("a container that is not up yet passed its examination")
	}
	same(r, "its health", r.inspect(id).Health, reconcile.Healthy)
	r.must(r.Engine.Stop(r.Context(), id))
	r.start(id)
	same(r, "its health in its next run", r.observed(id).Health, reconcile.HealthStarting)
	same(r, "the same, looked at alone", r.inspect(id).Health, reconcile.HealthStarting)
	unchecked := r.plain(2, nil)
	r.start(unchecked)
	if err := r.Engine.Examine(r.Context(), unchecked); err == nil || errors.As(err, &failed) {
		r.Errorf("a container without a health check was examined: %v", err)
	}
	r.is("examining no container", r.Engine.Examine(r.Context(), r.Project+"-none"), reconcile.ErrContainerMissing)
}

func exitsWithLog(r *rig) {
	r.networks()
	image := r.Image(r.T, r.Project+":exits", Behaviour{Exits: true, ExitAfter: 50 * time.Millisecond, ExitCode: 3, Log: "one\ntwo\nthree"})
	id := r.create(r.request(r.service(nil), image, 1))
	r.start(id)
	r.until("its end", func() bool { return r.observed(id).State == reconcile.Exited })
	same(r, "the exit code", r.inspect(id).ExitCode, 3)
	text, err := r.Engine.Evidence(r.Context(), id, 2)
	r.must(err)
	if !strings.Contains(text, "two\nthree") || strings.Contains(text, "one") {
		r.Errorf("the last two lines are %q", text)
	}
	q := r.request(r.service(nil), image, 2)
	q.Restart = "always"
	looping := r.create(q)
	r.start(looping)
	r.until("two restarts", func() bool { return r.observed(looping).Restarts >= 2 })
	r.must(r.Engine.SetRestart(r.Context(), looping, "no"))
	r.must(r.Engine.Stop(r.Context(), looping))
	same(r, "its state after a stop", r.inspect(looping).State, reconcile.Exited)
}

func portTaken(r *rig) {
	publish := func(q *reconcile.CreateRequest) {
		q.Create.Ports = true
		q.Service.Config.Ports = []types.ServicePortConfig{{Target: 80, Published: r.Port, HostIP: "127.0.0.1", Protocol: "tcp"}}
	}
	first, second := r.plain(1, publish), r.plain(2, publish)
	third := r.plain(3, func(q *reconcile.CreateRequest) { publish(q); q.Create.Ports = false })
	r.start(first)
	r.fails("publishing the port twice", r.Engine.Start(r.Context(), second), "already")
	r.start(third)
}

func vanishes(r *rig) {
	id := r.plain(1, nil)
	r.start(id)
	same(r, "its state", r.observed(id).State, reconcile.Running)
	r.RemoveByHand(r.T, id)
	same(r, "what is observed of it", r.observed(id).ID, "")
}
