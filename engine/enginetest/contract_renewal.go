package enginetest

// renews makes a network anew, with a container in it that stays.
func renews(r *rig) {
	ctx, s := r.Context(), r.service(nil)
	id := r.plain(1, nil)
	name := r.Project + "_back"
	old := r.observed(id).Endpoints[name].NetworkID
	r.start(id)
	r.fails("removing a network that is in use", r.Engine.RemoveNetwork(ctx, old))
	r.must(r.Engine.Stop(ctx, id))
	for range 2 {
		r.must(r.Engine.Disconnect(ctx, id, name))
		_, in := r.observed(id).Endpoints[name]
		same(r, "still in the network", in, false)
		r.must(r.Engine.RemoveNetwork(ctx, old))
	}
	r.must(r.Engine.CreateNetwork(ctx, r.p, "back"))
	r.must(r.Engine.Leave(ctx, id, r.p, s))
	r.start(id)
	after := r.observed(id)
	if end := after.Endpoints[name]; end.NetworkID == old || end.IP == "" {
		r.Errorf("its place in the new network: %+v", end)
	}
	if after.Endpoints[r.Project+"_front"].IP == "" {
		r.Error("it lost its other network")
	}
	r.must(r.Engine.Join(ctx, id, r.p, s))
	sameList(r, "the names in the new network", r.observed(id).Endpoints[name].Aliases, []string{r.Project + "-web-1", "web"})
}
