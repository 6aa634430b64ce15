package compose

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// WithService is p with s, a service of from, and with everything that s uses:
// its networks, volumes, configs, secrets and content. A resource that both
// projects have under one name becomes from's.
//
// It is how one service of a stack goes back while the others stay.
func (p *Project) WithService(s Service, from *Project) (*Project, error) {
	own, err := p.tree()
	if err != nil {
		return nil, err
	}
	other, err := from.tree()
	if err != nil {
		return nil, err
	}
	parts := maps.Clone(p.parts)
	if parts == nil {
		parts = map[string]string{}
	}
	for kind, used := range uses(s.Config) {
		for _, key := range used {
			value, ok := below(other, kind)[key]
			if !ok {
				return nil, fmt.Errorf("take service %s from another project of stack %s: it has no %s %s", s.Name, p.Name, kind, key)
			}
			if own[kind] == nil {
				own[kind] = map[string]any{}
			}
			below(own, kind)[key] = value
			parts[kind+"."+key] = cmp.Or(from.parts[kind+"."+key], s.Hash)
		}
	}
	mixed := *p
	if mixed.rendered, err = json.Marshal(own); err != nil {
		return nil, fmt.Errorf("render stack %s: %w", p.Name, err)
	}
	if mixed.Model, err = toModel(p.Name, p.WorkingDir, mixed.rendered); err != nil {
		return nil, err
	}
	mixed.parts, mixed.Hash = parts, projectHash(parts)
	mixed.take(s, from)
	return &mixed, nil
}

// take replaces what is kept beside the model.
func (p *Project) take(s Service, from *Project) {
	services := slices.DeleteFunc(slices.Clone(p.Services), func(o Service) bool { return o.Name == s.Name })
	p.Services = append(services, s)
	slices.SortFunc(p.Services, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	for i := range p.Services {
		p.Services[i].Config = p.Model.Services[p.Services[i].Name]
	}
	p.setTiers()
	p.setOneShots()
	p.written = maps.Clone(p.written)
	if w, ok := from.written[s.Name]; ok && p.written != nil {
		p.written[s.Name] = w
	}
	p.Sensitive = slices.Compact(slices.Sorted(slices.Values(slices.Concat(p.Sensitive, from.Sensitive))))
	p.Content = slices.Clone(p.Content)
	for _, c := range from.Content {
		if mounted(s.Config, p.Model, c) {
			p.Content = slices.DeleteFunc(p.Content, func(o Content) bool { return o.To == c.To })
			p.Content = append(p.Content, c)
		}
	}
	slices.SortFunc(p.Content, func(a, b Content) int { return cmp.Compare(a.To, b.To) })
}

// uses are the resources of a service by kind, itself included.
func uses(s types.ServiceConfig) map[string][]string {
	used := map[string][]string{
		"services": {s.Name},
		"networks": slices.Sorted(maps.Keys(s.Networks)),
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume && v.Source != "" {
			used["volumes"] = append(used["volumes"], v.Source)
		}
	}
	for _, c := range s.Configs {
		used["configs"] = append(used["configs"], c.Source)
	}
	for _, c := range s.Secrets {
		used["secrets"] = append(used["secrets"], c.Source)
	}
	return used
}

// mounted reports whether c is mounted by the service.
func mounted(s types.ServiceConfig, m *types.Project, c Content) bool {
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeBind && v.Source == c.To {
			return true
		}
	}
	for _, use := range s.Configs {
		if m.Configs[use.Source].File == c.To {
			return true
		}
	}
	for _, use := range s.Secrets {
		if m.Secrets[use.Source].File == c.To {
			return true
		}
	}
	return false
}

// tree is the rendered project, taken apart.
func (p *Project) tree() (map[string]any, error) {
	rendered := p.rendered
	if rendered == nil {
		var err error
		if rendered, err = renderModel(p); err != nil {
			return nil, err
		}
	}
	return readTree(rendered)
}

// renderModel is the model of a project that Load did not make.
func renderModel(p *Project) ([]byte, error) {
	m := types.Project{Name: p.Name}
	if p.Model != nil {
		m = *p.Model
	}
	m.Services = maps.Clone(m.Services)
	if m.Services == nil {
		m.Services = types.Services{}
	}
	for _, s := range p.Services {
		if _, ok := m.Services[s.Name]; !ok {
			m.Services[s.Name] = s.Config
		}
	}
	text, err := m.MarshalYAML(types.WithSecretContent)
	if err != nil {
		return nil, fmt.Errorf("render stack %s: %w", p.Name, err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("render stack %s: %w", p.Name, err)
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("render stack %s: %w", p.Name, err)
	}
	return data, nil
}
