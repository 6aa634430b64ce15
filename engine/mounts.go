package engine

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/mount"

	"davit/reconcile"
)

// mounts gives the container one mount for each path: what the service declares,
// then configs and secrets that are files, then what is carried over from a
// predecessor. Both lists are sorted by path.
func mounts(r reconcile.CreateRequest) (binds []string, list []mount.Mount, err error) {
	taken := map[string]bool{}
	declared := slices.Clone(r.Service.Config.Volumes)
	files, err := mountedFiles(r)
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(declared, byTarget)
	for _, v := range declared {
		if taken[v.Target] {
			continue
		}
		taken[v.Target] = true
		m, bind, err := oneMount(r, v)
		if err != nil {
			return nil, nil, fmt.Errorf("service %s: mount %s: %w", r.Service.Name, v.Target, err)
		}
		if bind != "" {
			binds = append(binds, bind)
			continue
		}
		list = append(list, m)
	}
	for _, f := range files {
		if !taken[f.Target] {
			taken[f.Target] = true
			list = append(list, f)
		}
	}
	for path, volume := range r.Create.Carry {
		if !taken[path] {
			list = append(list, mount.Mount{Type: mount.TypeVolume, Source: volume, Target: path})
		}
	}
	slices.SortFunc(list, func(a, b mount.Mount) int { return cmp.Compare(a.Target, b.Target) })
	return binds, list, nil
}

func byTarget(a, b types.ServiceVolumeConfig) int { return cmp.Compare(a.Target, b.Target) }

// oneMount is a mount, or its older form as a string where that says all there is
// to say: the engine creates a missing host path only for the string.
func oneMount(r reconcile.CreateRequest, v types.ServiceVolumeConfig) (mount.Mount, string, error) {
	m := mount.Mount{
		Type: mount.Type(v.Type), Source: v.Source, Target: v.Target,
		ReadOnly: v.ReadOnly, Consistency: mount.Consistency(v.Consistency),
	}
	switch v.Type {
	case types.VolumeTypeBind:
		return bindMount(m, v)
	case types.VolumeTypeVolume:
		return volumeMount(m, v, r)
	case types.VolumeTypeTmpfs:
		if v.Tmpfs != nil {
			m.TmpfsOptions = &mount.TmpfsOptions{SizeBytes: int64(v.Tmpfs.Size), Mode: os.FileMode(v.Tmpfs.Mode)}
		}
		return m, "", nil
	case types.VolumeTypeImage:
		if v.Image != nil {
			m.ImageOptions = &mount.ImageOptions{Subpath: v.Image.SubPath}
		}
		return m, "", nil
	}
	return m, "", fmt.Errorf("type %q is not supported", v.Type)
}

func bindMount(m mount.Mount, v types.ServiceVolumeConfig) (mount.Mount, string, error) {
	if !strings.HasPrefix(v.Source, "/") {
		return m, "", fmt.Errorf("bind source %q is not an absolute path", v.Source)
	}
	b := v.Bind
	plain := b == nil || bool(b.CreateHostPath) && b.Propagation == "" && b.Recursive == ""
	if plain && !strings.Contains(v.Source+v.Target, ":") {
		return m, bindWords(v), nil
	}
	if b == nil {
		b = &types.ServiceVolumeBind{CreateHostPath: true}
	}
	if b.SELinux != "" {
		return m, "", fmt.Errorf("bind.selinux cannot be combined with the other bind options here")
	}
	m.BindOptions = &mount.BindOptions{
		Propagation:            mount.Propagation(b.Propagation),
		CreateMountpoint:       bool(b.CreateHostPath),
		NonRecursive:           b.Recursive == "disabled",
		ReadOnlyNonRecursive:   b.Recursive == "writable",
		ReadOnlyForceRecursive: b.Recursive == "readonly",
	}
	return m, "", nil
}

// bindWords is the older form, as Compose writes it.
func bindWords(v types.ServiceVolumeConfig) string {
	words := []string{"rw"}
	if v.ReadOnly {
		words[0] = "ro"
	}
	if v.Bind != nil && v.Bind.SELinux != "" {
		words = append(words, v.Bind.SELinux)
	}
	return v.Source + ":" + v.Target + ":" + strings.Join(words, ",")
}

func volumeMount(m mount.Mount, v types.ServiceVolumeConfig, r reconcile.CreateRequest) (mount.Mount, string, error) {
	options := v.Volume
	if v.Source == "" {
		m.Source = r.Create.Carry[v.Target]
	} else if _, ok := r.Project.Model.Volumes[v.Source]; ok {
		m.Source = volumeName(r.Project.Model, v.Source)
		if options == nil || len(options.Labels) == 0 && options.Subpath == "" && !options.NoCopy {
			v.Source = m.Source
			return m, bindWords(v), nil
		}
	} else {
		return m, "", fmt.Errorf("the project has no volume %q", v.Source)
	}
	if options != nil {
		m.VolumeOptions = &mount.VolumeOptions{NoCopy: options.NoCopy, Labels: options.Labels, Subpath: options.Subpath}
	}
	return m, "", nil
}

// volumeName is the engine's name of a volume in the model.
func volumeName(m *types.Project, key string) string {
	return or(m.Volumes[key].Name, m.Name+"_"+key)
}
