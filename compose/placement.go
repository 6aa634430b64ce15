package compose

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// placement decides where on the host each relative path of a stack is mounted
// from.
type placement struct {
	export *export
	// dir is the stack's directory, relative to the root.
	dir string
	// home is the stack's stable directory on the host, files the directory of
	// content that never changes.
	home, files string
	// secrets and key are what encrypted files are read and named with.
	secrets Secrets
	key     []byte
	// writable are the paths, relative to the root, that a service may write to.
	writable []string
	content  map[string]Content
	// seen remembers the content of each path.
	seen map[string]spot
}

// spot is where one path went.
type spot struct {
	// to is its place on the host.
	to string
	// identity stands for it in hashes: what it contains, not where it is.
	identity string
	tracked  bool
}

func (l *loading) placement(services types.Services, volumes types.Volumes) *placement {
	p := &placement{
		export: l.export, dir: l.stack.Dir,
		home:    StackDir(l.options.DataDir, l.stack.Name),
		files:   FilesDir(l.options.DataDir),
		secrets: l.options.Secrets, key: l.options.Key,
		content: map[string]Content{}, seen: map[string]spot{},
	}
	for _, s := range services {
		for _, v := range s.Volumes {
			if rel, ok := p.export.rel(v.Source); ok && v.Type == types.VolumeTypeBind && !v.ReadOnly {
				p.writable = append(p.writable, rel)
			}
		}
	}
	for _, v := range volumes {
		if rel, ok := p.export.rel(v.DriverOpts["device"]); ok {
			p.writable = append(p.writable, rel)
		}
	}
	return p
}

// place replaces every relative path in the tree to be deployed by its place,
// and in the tree to be hashed by what it contains.
func (l *loading) place(p *placement, real, hashed *rendering) {
	for _, name := range slices.Sorted(maps.Keys(real.model.Services)) {
		mounts, _ := real.service(name)["volumes"].([]any)
		twins, _ := hashed.service(name)["volumes"].([]any)
		for i, m := range mounts {
			mount, twin := m.(map[string]any), twins[i].(map[string]any)
			if mount["type"] == types.VolumeTypeBind {
				l.move(p.find, fmt.Sprintf("services.%s.volumes[%d]", name, i), "source", pair{mount, twin})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(below(real.tree, "volumes"))) {
		options, twin := below(below(below(real.tree, "volumes"), name), "driver_opts"), below(below(below(hashed.tree, "volumes"), name), "driver_opts")
		l.move(p.find, "volumes."+name+".driver_opts.device", "device", pair{options, twin})
	}
	for _, kind := range []string{"configs", "secrets"} {
		for _, name := range slices.Sorted(maps.Keys(below(real.tree, kind))) {
			object, twin := below(below(real.tree, kind), name), below(below(hashed.tree, kind), name)
			if s, moved := l.move(p.object, kind+"."+name, "file", pair{object, twin}); moved && !s.tracked {
				l.note(kind+"."+name+".file", "is not in the repository: it is expected on the host as "+s.to)
			}
		}
	}
}

// pair is one mapping of the tree to be deployed and its twin to be hashed.
type pair struct{ real, hashed map[string]any }

func (l *loading) move(find func(rel string) (spot, error), at, key string, in pair) (spot, bool) {
	source := text(in.real[key])
	rel, inside := l.export.rel(source)
	if source == "" || !inside {
		return spot{}, false
	}
	s, err := find(rel)
	if err != nil {
		l.problem(at, fmt.Errorf("%q %w", rel, err))
		return spot{}, false
	}
	in.real[key] = s.to
	in.hashed[key] = s.identity
	return s, true
}

// object is where the file rel of a config or secret is mounted from: what Git
// holds encrypted, from a directory in memory.
func (p *placement) object(rel string) (spot, error) {
	if info, err := p.export.stat(rel); err != nil || !info.Mode().IsRegular() {
		return p.find(rel)
	}
	data, err := p.export.read(rel, maxSealed)
	if err != nil || !sealed(data) {
		return p.find(rel) // a file of any size that is not encrypted
	}
	if p.secrets.skips(data) {
		p.export.note(rel, unread)
		return p.find(rel)
	}
	p.export.remarkKey()
	plain, err := p.secrets.open(data)
	if err != nil {
		return spot{}, err
	}
	digest, err := p.export.digest(rel)
	if err != nil {
		return spot{}, err
	}
	p.secrets.learn(string(plain))
	// Encrypting the same value anew rolls nothing, and nobody can try values out
	// against the name.
	named := sum(p.key, string(plain))
	s := spot{to: p.secrets.place(named, rel), identity: "secret:" + named, tracked: true}
	kept := filepath.Join(p.files, digest, base(rel))
	p.content[s.to] = Content{From: p.export.abs(rel), To: s.to, Copy: kept, Digest: digest, Sealed: true}
	return s, nil
}

// find is where the path rel is mounted from.
func (p *placement) find(rel string) (spot, error) {
	if s, ok := p.seen[rel]; ok {
		return s, nil
	}
	s, err := p.choose(rel)
	if err == nil {
		p.seen[rel] = s
	}
	return s, err
}

func (p *placement) choose(rel string) (spot, error) {
	tracked := p.export.exists(rel)
	digest := ""
	if tracked {
		var err error
		if digest, err = p.export.digest(rel); err != nil {
			return spot{}, err
		}
	}
	kept := filepath.Join(p.files, digest, base(rel))
	if tracked && !p.changes(rel) {
		p.content[kept] = Content{From: p.export.abs(rel), To: kept, Copy: kept, Digest: digest}
		return spot{to: kept, identity: "content:" + digest, tracked: true}, nil
	}
	own, err := filepath.Rel(filepath.FromSlash(p.dir), filepath.FromSlash(rel))
	if err != nil || !filepath.IsLocal(own) {
		return spot{}, fmt.Errorf("is data, not a file of the repository that is only read, and lies outside of the stack's directory %s, which is all that has a place on the host, %s: "+
			"move it below that, write an absolute path, such as the one that Docker Compose has made of it until now, or make it a named volume", p.dir, p.home)
	}
	s := spot{to: filepath.Join(p.home, own), identity: "data:" + filepath.ToSlash(own), tracked: tracked}
	if tracked {
		p.content[s.to] = Content{From: p.export.abs(rel), To: s.to, Copy: kept, Digest: digest, Writable: true}
		s.identity += "@" + digest
	}
	return s, nil
}

// changes reports whether a container may write to rel, to something in it or to
// what it is in.
func (p *placement) changes(rel string) bool {
	return slices.ContainsFunc(p.writable, func(w string) bool { return within(rel, w) || within(w, rel) })
}

func within(inner, outer string) bool {
	return inner == outer || outer == "." || strings.HasPrefix(inner, outer+"/")
}

// base names content in its directory. The root has no name of its own.
func base(rel string) string {
	if rel == "." {
		return "root"
	}
	return path.Base(rel)
}

// contents is what has to be written before containers are made, by place.
func (p *placement) contents() []Content {
	var list []Content
	for _, to := range slices.Sorted(maps.Keys(p.content)) {
		list = append(list, p.content[to])
	}
	return list
}

// FilesDir is where content that never changes is kept, each in a directory named
// by its digest.
func FilesDir(dataDir string) string { return filepath.Join(dataDir, "files") }

// StackDir is the stable directory of the stack called name.
func StackDir(dataDir, name string) string { return filepath.Join(dataDir, "stacks", name) }
