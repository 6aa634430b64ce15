package compose

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Origin is where Docker Compose ran a stack before davit took it over. The
// stack's relative data stays there for ever, and what davit creates says so to
// Compose's commands, so that they find nothing changed.
type Origin struct {
	// WorkingDir is Compose's project directory.
	WorkingDir string `json:"working_dir"`
	// ConfigFiles is Compose's label with the files, as it was.
	ConfigFiles string `json:"config_files"`
	// By is the Compose whose hashes the containers had.
	By Generation `json:"by"`
	// Own is the directory that the stack would have had otherwise.
	Own string `json:"own"`
}

// Relocated is p with its project directory moved to where o says. What Git does
// not track is mounted from there, and tracked content that a service may change
// is kept up to date there; what the stack declares, and so its Hash, is the same.
func (p *Project) Relocated(o Origin) (*Project, error) {
	from := p.WorkingDir
	tree, err := p.tree()
	if err != nil {
		return nil, err
	}
	move := func(object map[string]any, key string) {
		if path := text(object[key]); path != "" {
			object[key] = moved(path, from, o.WorkingDir)
		}
	}
	for name := range below(tree, "services") {
		mounts, _ := below(below(tree, "services"), name)["volumes"].([]any)
		for _, m := range mounts {
			if mount, ok := m.(map[string]any); ok && mount["type"] == "bind" {
				move(mount, "source")
			}
		}
	}
	for name := range below(tree, "volumes") {
		move(below(below(below(tree, "volumes"), name), "driver_opts"), "device")
	}
	for _, kind := range []string{"configs", "secrets"} {
		for name := range below(tree, kind) {
			move(below(below(tree, kind), name), "file")
		}
	}
	out := *p
	o.Own = p.own()
	out.Origin, out.WorkingDir = &o, o.WorkingDir
	if out.rendered, err = json.Marshal(tree); err != nil {
		return nil, fmt.Errorf("move stack %s to %s: %w", p.Name, o.WorkingDir, err)
	}
	if out.Model, err = toModel(p.Name, out.WorkingDir, out.rendered); err != nil {
		return nil, fmt.Errorf("move stack %s to %s: %w", p.Name, o.WorkingDir, err)
	}
	out.Content = slices.Clone(p.Content)
	for i := range out.Content {
		if c := &out.Content[i]; c.Writable {
			c.To = moved(c.To, from, o.WorkingDir)
		}
	}
	out.Services = slices.Clone(p.Services)
	for i := range out.Services {
		s := &out.Services[i]
		s.Config = out.Model.Services[s.Name]
		if hash := out.ConfigHash(s.Name, out.HashContext(nil)); hash != "" {
			s.ConfigHash = hash
		}
	}
	return &out, nil
}

// Running is what is known of a service that runs and was not made from the files
// of the project that it is part of.
type Running struct {
	// Hash stands for whatever it was made from.
	Hash     string
	Replicas int
}

// AsRunning is p as it runs, which is not what it declares: with only the services
// that run, under hashes of their own where they were made from something else. It
// says what to return to, not what to create.
func (p *Project) AsRunning(services map[string]Running) (*Project, error) {
	tree, err := p.tree()
	if err != nil {
		return nil, err
	}
	out := *p
	out.Services, out.parts = nil, maps.Clone(p.parts)
	for _, s := range p.Services {
		as, runs := services[s.Name]
		if !runs {
			delete(below(tree, "services"), s.Name)
			delete(out.parts, "services."+s.Name)
			continue
		}
		if as.Hash != s.Hash {
			s.Hash, out.parts["services."+s.Name] = as.Hash, as.Hash
		}
		s.Replicas = as.Replicas
		out.Services = append(out.Services, s)
	}
	// Never equal to what any file declares.
	out.parts["running"] = sum(nil, services)
	out.Hash = projectHash(out.parts)
	// What else runs in its name is not to go on its account.
	out.Settings.Prune = false
	if out.rendered, err = json.Marshal(tree); err != nil {
		return nil, fmt.Errorf("render stack %s: %w", p.Name, err)
	}
	if out.Model, err = toModel(p.Name, out.WorkingDir, out.rendered); err != nil {
		return nil, err
	}
	return &out, nil
}

// own is the directory that davit gives the stack, unless it was adopted.
func (p *Project) own() string {
	if p.Origin != nil {
		return p.Origin.Own
	}
	return p.WorkingDir
}

// HashContext is what Compose's own hashes of p are to be made in, with the
// containers that stand for other services.
func (p *Project) HashContext(peers map[string]string) HashContext {
	c := HashContext{Dir: p.WorkingDir, Peers: peers}
	if p.Origin != nil {
		c.By = p.Origin.By
	}
	return c
}

// moved is path with the directory from, if it lies in it, replaced by to.
func moved(path, from, to string) string {
	if path == from {
		return to
	}
	if rest, ok := strings.CutPrefix(path, from+string(filepath.Separator)); ok {
		return filepath.Join(to, rest)
	}
	return path
}
