package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/format"
	"github.com/compose-spec/compose-go/v2/types"
)

// paths reports every path of d that leads out of the repository. They are
// looked at as written: once compose-go has joined them to its directories, ../x
// and ~/x cannot be told from an absolute path any more.
func (s *survey) paths(d *document, value map[string]any) {
	services, _ := value["services"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(services)) {
		if service, ok := services[name].(map[string]any); ok {
			s.servicePaths(d, "services."+name, service)
		}
	}
	for _, kind := range []string{"configs", "secrets"} {
		objects, _ := value[kind].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(objects)) {
			object, _ := objects[name].(map[string]any)
			s.hostPath(d, kind+"."+name+".file", text(object["file"]))
		}
	}
	volumes, _ := value["volumes"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(volumes)) {
		volume, _ := volumes[name].(map[string]any)
		opts, _ := volume["driver_opts"].(map[string]any)
		device := text(opts["device"])
		if text(opts["o"]) == "bind" && volume["driver"] == "local" { // what Compose takes for a bind mount
			s.hostPath(d, "volumes."+name+".driver_opts.device", device)
			continue
		}
		if device != "" && slices.Contains(strings.Split(text(opts["o"]), ","), "bind") && !path.IsAbs(device) {
			s.problems.add(d.problem("volumes."+name+".driver_opts.device",
				errors.New("must be an absolute path, as it is relative to the stack only beside driver: local and o: bind")))
		}
	}
}

func (s *survey) servicePaths(d *document, key string, service map[string]any) {
	mounts, _ := service["volumes"].([]any)
	for i, m := range mounts {
		at := fmt.Sprintf("%s.volumes[%d]", key, i)
		switch m := m.(type) {
		case string:
			if v, err := format.ParseVolume(m); err != nil {
				s.fail(d.problem(at, err))
			} else if v.Type == "bind" {
				s.hostPath(d, at, v.Source)
			}
		case map[string]any:
			if text(m["type"]) == "bind" {
				s.hostPath(d, at+".source", text(m["source"]))
			}
		}
	}
	s.buildPaths(d, key+".build", service["build"])
	// The files of a service that is not enabled need not be there.
	enabled := types.ServiceConfig{Profiles: texts(service["profiles"])}.HasProfile(profiles(d.env))
	for _, f := range texts(service["label_file"]) {
		s.repositoryFile(d, key+".label_file", repositoryFile{f, enabled, s.export.readLabels})
	}
	for _, f := range texts(service["env_file"]) {
		s.repositoryFile(d, key+".env_file", repositoryFile{f, enabled, s.export.readEnv})
	}
	entries, _ := service["env_file"].([]any)
	for i, entry := range entries {
		if m, ok := entry.(map[string]any); ok {
			required, isBool := m["required"].(bool)
			s.repositoryFile(d, fmt.Sprintf("%s.env_file[%d].path", key, i),
				repositoryFile{text(m["path"]), enabled && (required || !isBool), s.export.readEnv})
		}
	}
}

// hostPath checks the path of a bind, config or secret: an absolute one is the
// host's, a relative one must stay in the repository.
func (s *survey) hostPath(d *document, key, name string) {
	switch {
	case name == "" || path.IsAbs(name):
	case strings.HasPrefix(name, "~"):
		s.problems.add(d.problem(key, fmt.Errorf("%q %w", name, errHome)))
	default:
		target, err := local(d.base, name)
		if err == nil {
			_, err = s.export.stat(target)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.problems.add(d.problem(key, fmt.Errorf("%q %w", name, err)))
		}
	}
}

// repositoryFile is a file that is read while the stack is loaded.
type repositoryFile struct {
	name     string
	required bool
	read     func(rel string) ([]byte, error)
}

func (s *survey) repositoryFile(d *document, key string, f repositoryFile) {
	if f.name == "" {
		return
	}
	target, err := inRepository(s.export, d.base, f.name)
	if err == nil {
		if _, err = f.read(target); errors.Is(err, fs.ErrNotExist) && !f.required {
			return
		}
	}
	if err != nil {
		s.fail(d.problem(key, fmt.Errorf("%q %w", f.name, err)))
	}
}
