package compose

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// project makes the Project of a stack that was found sound. hashed is the same
// stack with DAVIT_ variables masked.
func (l *loading) project(real, hashed *rendering) (*Project, error) {
	separate := hashed != real
	apart := real.apart()
	l.settle(real)
	if separate {
		l.settle(hashed)
	} else {
		twin := *real
		tree, err := plainTree(real.tree)
		if err != nil {
			return nil, err
		}
		twin.tree = tree
		hashed = &twin
	}
	l.remarks(real)
	l.builds = l.findBuilds(real, hashed)
	written, err := l.likeCompose(real, apart)
	if err != nil {
		return nil, err
	}
	place := l.placement(real.model.Services, real.model.Volumes)
	l.place(place, real, hashed)
	p := &Project{
		Name:       l.stack.Name,
		Files:      l.survey.files(),
		Main:       l.mainFiles(),
		WorkingDir: place.home,
		Unset:      real.needs(),
		Content:    place.contents(),
		written:    written,
	}
	if err := l.fill(p, real, hashed); err != nil {
		return nil, err
	}
	p.Sensitive = l.sensitiveOf(p, real.env)
	p.Notes = slices.Concat(l.export.notes, l.survey.notes, l.notes)
	return p, nil
}

// fill adds everything that is made of the trees.
func (l *loading) fill(p *Project, real, hashed *rendering) error {
	if !l.problems.empty() {
		return l.problems.err()
	}
	var err error
	if p.rendered, err = json.Marshal(real.tree); err != nil {
		return fmt.Errorf("render stack %s: %w", p.Name, err)
	}
	if p.Model, err = toModel(p.Name, p.WorkingDir, p.rendered); err != nil {
		return err
	}
	var errs []keyError
	p.Settings, errs = decodeSettings(real.tree[extension])
	l.keyErrors("", extension, errs)
	l.windowRemarks(p.Settings.Windows)
	l.drillRemarks(p.Settings.Drill)
	for name := range p.Model.Services {
		// The image counts as it is, not as its variables are masked.
		hashed.service(name)["image"] = real.service(name)["image"]
	}
	sums, err := canonical(p.Name, p.WorkingDir, hashed.tree)
	if err != nil {
		return err
	}
	l.sumBuilds(sums)
	for _, name := range slices.Sorted(maps.Keys(p.Model.Services)) {
		s := l.service(p, name, below(real.service(name), "deploy"))
		s.Hash = serviceHash(l.options.Key, sums, name)
		p.Services = append(p.Services, s)
	}
	p.setTiers()
	p.setOneShots()
	l.doubts(p)
	l.probesOfOneShots(p)
	p.parts = parts(l.options.Key, sums)
	p.Hash = projectHash(p.parts)
	return nil
}

// keyErrors reports mistakes that only show once all files are merged.
func (l *loading) keyErrors(prefix, key string, errs []keyError) {
	for _, e := range errs {
		l.problem(join(join(prefix, key), e.key), e.err)
	}
}

func (l *loading) service(p *Project, name string, deploy map[string]any) Service {
	config := p.Model.Services[name]
	s := Service{Name: name, Config: config, Replicas: config.GetScale(), Build: l.builds[name]}
	key := "services." + name
	block, errs := decodeServiceBlock(config.Extensions[extension])
	l.keyErrors(key, extension, errs)
	s.Settings, errs = serviceSettings(config, deploy, block, func(k, text string) { l.note(join(key, k), text) })
	for _, e := range errs {
		l.problem(join(key, e.key), e.err)
	}
	s.Ports, errs = publishedPorts(config, block.ports)
	for _, e := range errs {
		l.problem(join(key, e.key), e.err)
	}
	s.Drain = block.drain()
	var err error
	if s.DependsOn, err = dependencies(config, p.Model.Services); err != nil {
		l.problem(key+".depends_on", err)
	}
	s.ConfigHash = p.ConfigHash(name, p.HashContext(nil))
	l.hookRemarks(s)
	return s
}

// toModel is a rendered project in compose-go's types. Nothing is looked up,
// replaced or checked any more.
func toModel(name, dir string, rendered []byte) (m *types.Project, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, fmt.Errorf("read rendered stack %s: the Compose library failed: %v", name, p)
		}
	}()
	tree, err := readTree(rendered)
	if err != nil {
		return nil, err
	}
	details := types.ConfigDetails{WorkingDir: dir}
	options := loader.ToOptions(&details, []func(*loader.Options){func(o *loader.Options) {
		o.SetProjectName(name, true)
		o.Profiles = []string{"*"}
		o.SkipConsistencyCheck = true
		o.SkipResolveEnvironment = true
		o.SkipResolveLabels = true
	}})
	if m, err = loader.ModelToProject(tree, options, details); err != nil {
		return nil, fmt.Errorf("read rendered stack %s: %w", name, err)
	}
	m.Profiles, m.DisabledServices = nil, nil
	return m, nil
}
