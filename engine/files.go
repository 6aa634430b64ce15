package engine

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/mount"

	"davit/compose"
	"davit/reconcile"
)

// file is a config or secret whose content is known to davit only.
type file struct {
	Path     string
	Mode     int64
	UID, GID int
	// Owned is true where the file says who owns it. Compose then asks the engine
	// to keep to the container's user, which the engine does if it has one.
	Owned   bool
	Content string
}

// usage is a service's use of a config or secret, and what that is.
type usage struct {
	kind   string
	target string
	use    types.FileReferenceConfig
	object types.FileObjectConfig
}

// referenced lists the service's secrets and configs, the undefined and
// unsupported ones as an error. Where two have one target, the secret wins.
func referenced(r reconcile.CreateRequest) ([]usage, error) {
	var list []usage
	for _, s := range r.Service.Config.Secrets {
		o, ok := r.Project.Model.Secrets[s.Source]
		ref := usage{"secret", place("/run/secrets/", s.Target, s.Source), types.FileReferenceConfig(s), types.FileObjectConfig(o)}
		if err := ref.check(ok); err != nil {
			return nil, fmt.Errorf("service %s: %w", r.Service.Name, err)
		}
		list = append(list, ref)
	}
	for _, c := range r.Service.Config.Configs {
		o, ok := r.Project.Model.Configs[c.Source]
		ref := usage{"config", place("/", c.Target, c.Source), types.FileReferenceConfig(c), types.FileObjectConfig(o)}
		if err := ref.check(ok); err != nil {
			return nil, fmt.Errorf("service %s: %w", r.Service.Name, err)
		}
		list = append(list, ref)
	}
	return list, nil
}

func place(base, target, source string) string {
	if target == "" {
		target = source
	}
	if strings.HasPrefix(target, "/") {
		return target
	}
	return base + target
}

func (r usage) check(defined bool) error {
	switch {
	case !defined:
		return fmt.Errorf("the project has no %s %q", r.kind, r.use.Source)
	case bool(r.object.External):
		return fmt.Errorf("%s %s: external is not supported", r.kind, r.use.Source)
	case r.object.Driver != "" || r.object.TemplateDriver != "":
		return fmt.Errorf("%s %s: driver and template_driver are not supported", r.kind, r.use.Source)
	}
	return nil
}

// mountedFiles are the configs and secrets that are files on the host. Their
// uid, gid and mode are the file's own, as in Compose. A missing file is an error
// of the engine, and no new directory.
func mountedFiles(r reconcile.CreateRequest) ([]mount.Mount, error) {
	refs, err := referenced(r)
	var list []mount.Mount
	for _, ref := range refs {
		if ref.object.File == "" {
			continue
		}
		m := mount.Mount{Type: mount.TypeBind, Source: ref.object.File, Target: ref.target, ReadOnly: true}
		if ref.kind == "secret" {
			m.BindOptions = &mount.BindOptions{} // as Compose has it
		}
		list = append(list, m)
	}
	return list, err
}

// injected are the configs and secrets that are not files on the host.
func injected(r reconcile.CreateRequest, in surroundings) ([]file, error) {
	refs, err := referenced(r)
	if err != nil {
		return nil, err
	}
	var list []file
	for _, ref := range refs {
		if ref.object.File != "" {
			continue
		}
		if r.Service.Config.ReadOnly {
			return nil, fmt.Errorf("service %s: %s %s cannot be written into a read_only container; use a file",
				r.Service.Name, ref.kind, ref.use.Source)
		}
		f, err := ref.file()
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", r.Service.Name, err)
		}
		if ref.use.Source == compose.APISocketConfig {
			f.Content = in.Credentials
		}
		list = append(list, f)
	}
	return list, nil
}

func (r usage) file() (file, error) {
	f := file{Path: r.target, Mode: 0o444, Content: r.object.Content, Owned: r.use.UID != "" || r.use.GID != ""}
	if r.use.Mode != nil {
		f.Mode = int64(*r.use.Mode)
	}
	for _, id := range []struct {
		name, text string
		to         *int
	}{{"uid", r.use.UID, &f.UID}, {"gid", r.use.GID, &f.GID}} {
		if id.text == "" {
			continue
		}
		n, err := strconv.Atoi(id.text)
		if err != nil || n < 0 {
			return f, fmt.Errorf("%s %s: %s %q is not a number", r.kind, r.use.Source, id.name, id.text)
		}
		*id.to = n
	}
	return f, nil
}

// archive packs those of the files that say who owns them, or that do not, for
// extraction at the container's root.
func archive(files []file, owned bool) (*bytes.Buffer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if f.Owned != owned {
			continue
		}
		err := w.WriteHeader(&tar.Header{
			Name: strings.TrimPrefix(f.Path, "/"), Mode: f.Mode, Uid: f.UID, Gid: f.GID, Size: int64(len(f.Content)),
			ModTime: time.Now(),
		})
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Path, err)
		}
		if _, err := w.Write([]byte(f.Content)); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Path, err)
		}
	}
	return &b, w.Close()
}
