package enginetest

import (
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/reconcile"
)

func runs(r *rig) {
	ctx, id := r.Context(), r.plain(1, nil)
	nothing := "0"
	h := reconcile.Hook{Phase: reconcile.HookPostStart, Timeout: time.Minute, ServiceHook: types.ServiceHook{
		Command: types.ShellCommand{"/app", "hook"}, Environment: types.MappingWithEquals{"HOOK": &nothing}}}
	r.fails("a command in a container that does not run", r.Engine.Run(ctx, id, h), "not running")
	r.start(id)
	r.must(r.Engine.Run(ctx, id, h))
	r.must(r.Engine.Run(ctx, id, h))
	r.must(r.Engine.Stop(ctx, id))
	r.must(r.Engine.Remove(ctx, id))
	r.is("a command in no container", r.Engine.Run(ctx, id, h), reconcile.ErrContainerMissing)
}
