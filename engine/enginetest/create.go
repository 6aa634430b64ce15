package enginetest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
	"davit/reconcile"
)

// Create makes a container as r asks. One that was made by the same request and
// never started is returned instead.
func (e *Engine) Create(ctx context.Context, r reconcile.CreateRequest) (string, error) {
	var id string
	err := e.mutate(ctx, Op{Kind: OpCreate, Target: r.Create.Name}, func(now time.Time) error {
		existing, err := e.holder(r)
		if err != nil {
			return err
		}
		if existing != "" {
			id = existing
			return nil
		}
		c, err := e.build(r)
		if err != nil {
			return err
		}
		c.face.ID, c.face.Created = e.newID("container"), now
		id = c.face.ID
		e.containers[id] = c
		e.tell(c, "create", false)
		return nil
	})
	return id, err
}

// holder returns the container that an earlier, identical request made.
func (e *Engine) holder(r reconcile.CreateRequest) (string, error) {
	for _, c := range e.containers {
		f := c.face
		if f.Name != r.Create.Name {
			continue
		}
		same := f.Instance == e.instance && f.Spec == r.Service.Hash && f.Release == r.Release &&
			f.ImageID == r.Image.ID && slices.Equal(f.Edge, r.Create.Edge) && f.State == reconcile.Created && !c.ever
		if !same {
			return "", fmt.Errorf("the name is taken by container %.12s of %s/%s", f.ID, f.Stack, f.Service)
		}
		return f.ID, nil
	}
	return "", nil
}

func (e *Engine) build(r reconcile.CreateRequest) (*container, error) {
	p, ref, err := e.pictured(r.Image)
	if err != nil {
		return nil, err
	}
	cfg := r.Service.Config
	c := &container{behaviour: p.behaviour, checked: checked(cfg, p.behaviour), grace: 10 * time.Second}
	if cfg.StopGracePeriod != nil {
		c.grace = time.Duration(*cfg.StopGracePeriod).Truncate(time.Second)
	}
	restart := r.Restart
	if restart == "" {
		restart = "no"
	}
	c.face = reconcile.Container{
		Name: r.Create.Name, Stack: r.Project.Name, Service: r.Service.Name, Number: r.Number,
		Instance: e.instance, Release: r.Release, Spec: r.Service.Hash, Version: r.Version,
		ImageRef: ref, ImageID: p.id, Restart: restart, Grace: c.grace, Limits: reconcile.LimitsOf(cfg),
		ConfigHash: r.Service.ConfigHash, WorkingDir: r.Project.WorkingDir, ConfigFiles: r.Project.ConfigFiles(),
		Endpoints: map[string]reconcile.Endpoint{}, Volumes: map[string]string{}, Borrows: borrows(r),
		Edge:   slices.Clone(r.Create.Edge),
		OneOff: r.Create.Hook.Phase.OfRelease(), Hook: r.Create.Hook,
	}
	if c.face.OneOff {
		c.behaviour = p.behaviour.hook(r.Create.Hook)
		c.checked = false
	}
	if err := e.borrow(c, r); err != nil {
		return nil, err
	}
	if err := e.attach(c, r); err != nil {
		return nil, err
	}
	if r.Create.Ports {
		published := slices.DeleteFunc(slices.Clone(cfg.Ports), func(p types.ServicePortConfig) bool {
			fixed, ok := compose.FixedPort(p)
			return ok && slices.Contains(r.Create.Edge, fixed.Container())
		})
		if c.ports, err = hostPorts(published); err != nil {
			return nil, err
		}
	}
	e.mount(c, r)
	return c, nil
}

// pictured finds the image and the reference that the container carries.
func (e *Engine) pictured(i reconcile.Image) (picture, string, error) {
	if p, ok := e.images.find(i.Ref); ok && i.ID != "" && p.id == i.ID {
		return p, i.Ref, nil
	}
	if p, ok := e.images.local[i.ID]; ok {
		return p, i.Pinned(), nil
	}
	if p, ok := e.images.find(i.Pinned()); ok && i.Pinned() != "" && i.ID == "" {
		return p, i.Pinned(), nil
	}
	return picture{}, "", fmt.Errorf("image %s: %w", i.Ref, reconcile.ErrImageMissing)
}

func checked(cfg types.ServiceConfig, b Behaviour) bool {
	h := cfg.HealthCheck
	if h == nil || (len(h.Test) == 0 && !h.Disable) {
		return b.Healthcheck
	}
	return !h.Disable && h.Test[0] != "NONE"
}

// attach plugs the container into the service's networks.
func (e *Engine) attach(c *container, r reconcile.CreateRequest) error {
	for key := range r.Service.Config.Networks {
		n, ok := e.networks[networkName(r.Project.Model, key)]
		if !ok {
			return fmt.Errorf("network %s not found", networkName(r.Project.Model, key))
		}
		aliases := []string{}
		if r.Create.Alias {
			aliases = discovery(r.Service.Config, key, final(r.Create))
		}
		c.face.Endpoints[n.Name] = reconcile.Endpoint{NetworkID: n.ID, Aliases: aliases}
	}
	return nil
}

func final(c reconcile.Create) string {
	if c.Final != "" {
		return c.Final
	}
	return c.Name
}

// mount gives the container its volumes: declared ones, carried ones where
// nothing is declared, and a new anonymous one for every other path that wants a
// volume.
func (e *Engine) mount(c *container, r reconcile.CreateRequest) {
	m := mounting{engine: e, container: c, request: r, covered: map[string]bool{}}
	for _, t := range r.Service.Config.Tmpfs {
		path, options, _ := strings.Cut(t, ":")
		m.add(reconcile.Mount{Path: path, Kind: reconcile.MountTmpfs, Writable: !slices.Contains(strings.Split(options, ","), "ro")})
	}
	for _, v := range r.Service.Config.Volumes {
		m.declared(v)
	}
	for _, use := range r.Service.Config.Configs {
		m.file("/", types.FileReferenceConfig(use), r.Project.Model.Configs[use.Source].File)
	}
	for _, use := range r.Service.Config.Secrets {
		m.file("/run/secrets/", types.FileReferenceConfig(use), r.Project.Model.Secrets[use.Source].File)
	}
	for _, path := range c.behaviour.Volumes {
		if !m.covered[path] {
			m.anonymous(path)
		}
	}
	for path := range r.Create.Carry {
		if !m.covered[path] {
			m.anonymous(path)
		}
	}
	for _, owner := range c.volumesFrom {
		for _, theirs := range owner.face.Mounts {
			if !m.covered[theirs.Path] && theirs.Kind != reconcile.MountTmpfs {
				m.add(theirs)
			}
		}
	}
	slices.SortFunc(c.face.Mounts, func(a, b reconcile.Mount) int { return cmp.Compare(a.Path, b.Path) })
}

func volumeName(m *types.Project, key string) string {
	if v, ok := m.Volumes[key]; ok && v.Name != "" {
		return v.Name
	}
	return m.Name + "_" + key
}

func networkName(m *types.Project, key string) string {
	if n, ok := m.Networks[key]; ok && n.Name != "" {
		return n.Name
	}
	return m.Name + "_" + key
}
