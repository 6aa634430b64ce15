package compose

import (
	"encoding/json"
	"errors"
	"fmt"
)

// stored is a Project as Marshal writes it. The model is stored as a compose
// file, which outlives compose-go's types.
type stored struct {
	Version    int               `json:"version"`
	Name       string            `json:"name"`
	Files      []string          `json:"files"`
	WorkingDir string            `json:"working_dir"`
	Model      json.RawMessage   `json:"model"`
	Settings   Settings          `json:"settings"`
	Services   []storedService   `json:"services"`
	Hash       string            `json:"hash"`
	Unset      []string          `json:"unset"`
	Notes      []Note            `json:"notes"`
	Content    []Content         `json:"content"`
	Parts      map[string]string `json:"parts"`
	// Main, Written and Origin are missing in what earlier versions stored.
	Main    []string           `json:"main,omitempty"`
	Written map[string]written `json:"written,omitempty"`
	Origin  *Origin            `json:"origin,omitempty"`
	// Sensitive is as secret as the model, and sealed with it.
	Sensitive []string `json:"sensitive,omitempty"`
}

// storedService is a Service without its Config, which is part of the model.
type storedService struct {
	Name       string          `json:"name"`
	Settings   ServiceSettings `json:"settings"`
	Hash       string          `json:"hash"`
	ConfigHash string          `json:"config_hash"`
	Replicas   int             `json:"replicas"`
	Tier       int             `json:"tier"`
	OneShot    bool            `json:"one_shot"`
	DependsOn  []Dependency    `json:"depends_on"`
}

const storedVersion = 1

// Marshal is the whole project in a form that Unmarshal turns into an equal one,
// on any later day and without any file of the revision. It holds secrets.
func (p *Project) Marshal() ([]byte, error) {
	rendered := p.rendered
	if rendered == nil {
		var err error
		if rendered, err = renderModel(p); err != nil {
			return nil, err
		}
	}
	s := stored{
		Version: storedVersion, Name: p.Name, Files: p.Files, WorkingDir: p.WorkingDir, Model: rendered,
		Settings: p.Settings, Hash: p.Hash, Unset: p.Unset, Notes: p.Notes, Content: p.Content, Parts: p.parts,
		Main: p.Main, Written: p.written, Origin: p.Origin, Sensitive: p.Sensitive,
	}
	for _, v := range p.Services {
		s.Services = append(s.Services, storedService{
			Name: v.Name, Settings: v.Settings, Hash: v.Hash, ConfigHash: v.ConfigHash,
			Replicas: v.Replicas, Tier: v.Tier, OneShot: v.OneShot, DependsOn: v.DependsOn,
		})
	}
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("store stack %s: %w", p.Name, err)
	}
	return data, nil
}

// Unmarshal is the inverse of Marshal.
func Unmarshal(data []byte) (*Project, error) {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("read stored stack: %w", err)
	}
	if s.Version != storedVersion {
		return nil, fmt.Errorf("read stored stack %s: format %d is not known to this version of davit", s.Name, s.Version)
	}
	if len(s.Model) == 0 {
		return nil, fmt.Errorf("read stored stack %s: %w", s.Name, errors.New("it has no model"))
	}
	p := &Project{
		Name: s.Name, Files: s.Files, WorkingDir: s.WorkingDir, Settings: s.Settings, Hash: s.Hash,
		Unset: s.Unset, Notes: s.Notes, Content: s.Content, rendered: s.Model, parts: s.Parts,
		Main: s.Main, written: s.Written, Origin: s.Origin, Sensitive: s.Sensitive,
	}
	var err error
	if p.Model, err = toModel(p.Name, p.WorkingDir, p.rendered); err != nil {
		return nil, err
	}
	for _, v := range s.Services {
		config, ok := p.Model.Services[v.Name]
		if !ok {
			return nil, fmt.Errorf("read stored stack %s: service %s is not in its model", s.Name, v.Name)
		}
		// What was stored has no mistakes in it.
		block, _ := decodeServiceBlock(config.Extensions[extension])
		ports, _ := publishedPorts(config, block.ports)
		p.Services = append(p.Services, Service{
			Name: v.Name, Config: config, Settings: v.Settings, Hash: v.Hash, ConfigHash: v.ConfigHash,
			Replicas: v.Replicas, Tier: v.Tier, OneShot: v.OneShot, DependsOn: v.DependsOn, Ports: ports, Drain: block.drain(),
		})
	}
	return p, nil
}
