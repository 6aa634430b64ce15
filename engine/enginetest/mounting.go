package enginetest

import (
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/reconcile"
)

// mounting gives one container its mounts.
type mounting struct {
	engine    *Engine
	container *container
	request   reconcile.CreateRequest
	covered   map[string]bool
}

func (m mounting) add(one reconcile.Mount) {
	m.covered[one.Path] = true
	m.container.face.Mounts = append(m.container.face.Mounts, one)
	if one.Kind == reconcile.MountVolume {
		m.container.face.Volumes[one.Path] = one.Source
	}
	if one.Writable && one.Source != "" {
		m.container.mounts = append(m.container.mounts, one.Source)
	}
}

func (m mounting) declared(v types.ServiceVolumeConfig) {
	one := reconcile.Mount{Path: v.Target, Source: v.Source, Writable: !v.ReadOnly}
	switch {
	case v.Type == types.VolumeTypeVolume && v.Source == "":
		m.anonymous(v.Target)
		return
	case v.Type == types.VolumeTypeVolume:
		one.Kind, one.Source = reconcile.MountVolume, volumeName(m.request.Project.Model, v.Source)
		if _, ok := m.engine.volumes[one.Source]; !ok {
			m.engine.volumes[one.Source] = unlabelled(one.Source)
		}
	case v.Type == types.VolumeTypeTmpfs:
		one.Kind, one.Source = reconcile.MountTmpfs, ""
	case v.Type != types.VolumeTypeBind:
		one.Kind = reconcile.MountOther
	}
	m.add(one)
}

// file mounts a config or secret that is a file on the host.
func (m mounting) file(base string, use types.FileReferenceConfig, file string) {
	path := use.Target
	if path == "" {
		path = use.Source
	}
	if !strings.HasPrefix(path, "/") {
		path = base + path
	}
	if file != "" && !m.covered[path] {
		m.add(reconcile.Mount{Path: path, Kind: reconcile.MountBind, Source: file})
	}
}

// anonymous mounts the volume that is carried over, else a new one.
func (m mounting) anonymous(path string) {
	name := m.request.Create.Carry[path]
	if name == "" {
		name = m.engine.newID("volume")
	}
	if _, ok := m.engine.volumes[name]; !ok {
		m.engine.volumes[name] = volume{face: reconcile.Volume{Name: name}, unnamed: true}
	}
	m.add(reconcile.Mount{Path: path, Kind: reconcile.MountVolume, Source: name, Writable: true})
}
