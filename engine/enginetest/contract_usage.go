package enginetest

import "davit/reconcile"

func used(r *rig) {
	id := r.plain(1, nil)
	usage := func() reconcile.Usage {
		r.Helper()
		u, err := r.Engine.Usage(r.Context(), id)
		r.must(err)
		return u
	}
	same(r, "what uses nothing before its start", usage(), reconcile.Usage{})
	r.start(id)
	var first reconcile.Usage
	r.until("what runs to use something", func() bool {
		first = usage()
		return first.CPU > 0 && first.Memory > 0 && !first.At.IsZero()
	})
	r.until("a later reading", func() bool {
		later := usage()
		same(r, "what was used becoming less", later.CPU < first.CPU, false)
		return later.At.After(first.At)
	})
	r.must(r.Engine.Stop(r.Context(), id))
	same(r, "what uses nothing after its stop", usage(), reconcile.Usage{})
	r.must(r.Engine.Remove(r.Context(), id))
	_, err := r.Engine.Usage(r.Context(), id)
	r.is("the usage of no container", err, reconcile.ErrContainerMissing)
}
