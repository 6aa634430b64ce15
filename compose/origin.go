package compose

import (
	"encoding/json"
	"fmt"
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
