package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"davit/compose"
)

// changes says what about c is not as s declares it, as far as the engine tells.
// Compose's hash, which is what decided, always comes last: it covers more than
// can be seen from outside.
func (like comparison) changes(s compose.Service, c Container) []string {
	var out []string
	if c.ImageRef != s.Config.Image && s.Config.Image != "" {
		out = append(out, fmt.Sprintf("image %s -> %s", c.ImageRef, s.Config.Image))
	}
	out = append(out, like.mounts(s, c)...)
	if c.ConfigHash == "" {
		return append(out, c.Name+" has no configuration hash of Compose's")
	}
	hash := like.project.ConfigHash(s.Name, compose.HashContext{Dir: c.WorkingDir, Peers: like.peers})
	return append(out, fmt.Sprintf("configuration differs (Compose's hash %.12s -> %.12s)", c.ConfigHash, hash))
}

// mounts compares the paths at which c and s mount something, and the
// sources of what is not content from Git: that has another place with davit.
func (like comparison) mounts(s compose.Service, c Container) []string {
	p := like.project
	var out []string
	declared := map[string]bool{}
	for _, v := range s.Config.Volumes {
		path := strings.TrimSuffix(v.Target, "/")
		declared[path] = true
		i := slices.IndexFunc(c.Mounts, func(m Mount) bool { return m.Path == path })
		source := v.Source
		if v.Type == "volume" && v.Source != "" {
			source = p.Model.Volumes[v.Source].Name
		}
		switch {
		case i < 0 && v.Type == "tmpfs": // not among an engine's mounts in either form
		case i < 0:
			out = append(out, "mount "+path+" is new")
		case v.Type == "bind" && fromGit(p, v.Source), source == "":
		case c.Mounts[i].Source != source:
			out = append(out, fmt.Sprintf("mount %s: %s -> %s", path, c.Mounts[i].Source, source))
		}
	}
	for _, m := range c.Mounts {
		if m.Kind == MountBind && !declared[m.Path] && !strings.HasPrefix(m.Path, "/run/secrets/") && len(s.Config.Configs) == 0 {
			out = append(out, "mount "+m.Path+" goes away")
		}
	}
	return out
}

// fromGit reports whether davit mounts the path from content of its own.
func fromGit(p *compose.Project, source string) bool {
	return slices.ContainsFunc(p.Content, func(c compose.Content) bool { return c.To == source })
}

// attachments compares what can be changed while a container runs and what
// Compose's hash does not cover.
func (like comparison) attachments(s compose.Service, c Container) []string {
	p := like.project
	var out []string
	for _, key := range sortedKeys(s.Config.Networks) {
		name := p.Model.Networks[key].Name
		if _, in := c.Endpoints[name]; !in {
			out = append(out, c.Name+" is not in network "+name)
		}
	}
	if !(&planner{project: p}).joined(&unit{Service: s}, c) && len(out) == 0 {
		out = append(out, c.Name+" is not known as "+s.Name+" in its networks")
	}
	if want := declaredRestart(s.Config); !s.OneShot && c.Restart != want {
		out = append(out, fmt.Sprintf("restart policy %s -> %s", c.Restart, want))
	}
	for _, v := range s.Config.Volumes {
		if v.Type == "volume" && v.Source != "" && c.Volumes[strings.TrimSuffix(v.Target, "/")] != p.Model.Volumes[v.Source].Name {
			out = append(out, fmt.Sprintf("volume %s is not mounted at %s", p.Model.Volumes[v.Source].Name, v.Target))
		}
	}
	if by := updated(s.Config, c); by != "" {
		out = append(out, by)
	}
	if want := s.Config.ContainerName; want != "" && c.Name != want {
		out = append(out, fmt.Sprintf("name %s -> %s", c.Name, want))
	}
	return out
}
