package compose

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
)

// likeCompose keeps of each service what Compose's hash is made of. It is called
// before paths are replaced; apart holds what settling has taken away and Compose
// has not.
func (l *loading) likeCompose(r *rendering, apart map[string]map[string]any) (map[string]written, error) {
	tree, err := plainTree(r.tree)
	if err != nil {
		return nil, err
	}
	for name, attributes := range apart {
		if service := below(below(tree, "services"), name); service != nil {
			maps.Copy(service, attributes)
		}
	}
	eachText(tree["services"], l.relative)
	raw, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("hash stack %s as Compose does: %w", l.stack.Name, err)
	}
	model, err := toModel(l.stack.Name, "", raw)
	if err != nil {
		return nil, err
	}
	all := map[string]written{}
	for name, s := range model.Services {
		if all[name], err = writtenAs(s); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// apart are the attributes that settling drops and that Compose hashes.
func (r *rendering) apart() map[string]map[string]any {
	out := map[string]map[string]any{}
	for name := range below(r.tree, "services") {
		kept := map[string]any{}
		for _, key := range []string{"attach", "label_file", "develop", "credential_spec", "security_opt"} {
			if v, ok := r.service(name)[key]; ok {
				kept[key] = v
			}
		}
		if len(kept) > 0 {
			out[name] = kept
		}
	}
	return out
}

// relative marks a path inside the export as relative to the stack's directory.
func (l *loading) relative(s string) string {
	if !filepath.IsAbs(s) {
		return s
	}
	rel, inside := l.export.rel(s)
	if !inside {
		return s
	}
	own, err := filepath.Rel(filepath.FromSlash(l.stack.Dir), filepath.FromSlash(rel))
	if err != nil {
		return s
	}
	return here + filepath.ToSlash(own)
}
