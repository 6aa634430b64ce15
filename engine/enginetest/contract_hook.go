package enginetest

import (
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/reconcile"
)

// marks holds what is on the container of a release's hook: nothing else says that it
// was run.
func marks(r *rig) {
	r.networks()
	code := "3"
	s := r.service(func(c *types.ServiceConfig) {
		c.Entrypoint, c.Command = types.ShellCommand{"/app", "hook"}, nil
		c.Environment = types.MappingWithEquals{"HOOK": &code}
		c.HealthCheck = &types.HealthCheckConfig{Disable: true}
	})
	h := reconcile.Hook{Phase: reconcile.HookPreDeploy, Index: 1, Count: 2, Timeout: 90 * time.Second, Irreversible: true}
	h.Command = s.Config.Entrypoint
	image := r.Image(r.T, r.Project+":hooked", Behaviour{Healthcheck: true, Hooks: map[reconcile.HookPhase]int{reconcile.HookPreDeploy: 3}, Log: "as told: 3\n"})
	name := reconcile.HookContainer(r.Project, "web", h, 7)
	q := r.request(s, image, 0)
	q.Create = reconcile.Create{Name: name, Final: name, Hook: h.Mark()}
	id := r.create(q)
	same(r, "the same request once more", r.create(q), id)
	c := r.observed(id)
	same(r, "one-off", c.OneOff, true)
	same(r, "mark", c.Hook, h.Mark())
	same(r, "release", c.Release, 7)
	same(r, "stack and service", c.Stack+"/"+c.Service, r.Project+"/web")
	same(r, "instance", c.Instance, r.Instance)
	same(r, "image", c.ImageID, image.ID)
	same(r, "state", c.State, reconcile.Created)
	same(r, "never started", c.Started.IsZero(), true)
	for network, end := range c.Endpoints {
		sameList(r, "names in "+network, end.Aliases, nil)
	}
	r.start(id)
	r.until("the hook's end", func() bool { return r.inspect(id).State == reconcile.Exited })
	same(r, "exit code", r.observed(id).ExitCode, 3)
	text, err := r.Engine.Evidence(r.Context(), id, 10)
	r.must(err)
	same(r, "what it said is in "+text, strings.Contains(text, "as told: 3"), true)
	r.must(r.Engine.Remove(r.Context(), id))
	same(r, "left", r.observed(id).ID, "")
}
