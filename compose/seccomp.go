package compose

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
)

// maxProfile bounds a seccomp profile, in bytes.
const maxProfile = 1 << 20

// inlineProfiles reads the seccomp profiles of the repository into the service,
// so that a release keeps the one it ran with, and another one rolls the service.
// A profile of the host, by its absolute path, is read when a container is made.
func (l *loading) inlineProfiles(name string, service map[string]any) {
	list, _ := service["security_opt"].([]any)
	settled := make([]any, len(list))
	for i, option := range list {
		settled[i] = option
		file, ok := profileFile(text(option))
		if !ok {
			continue
		}
		key := fmt.Sprintf("%s.security_opt[%d]", name, i)
		data, ok := l.readBeside(beside{key: key, name: filepath.Join(l.export.abs(l.stack.Dir), file), required: true, read: l.export.readProfile})
		if !ok {
			continue
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, data.data); err != nil {
			l.problem("services."+key, fmt.Errorf("%q is not JSON: %w", data.name, err))
			continue
		}
		settled[i] = "seccomp=" + compact.String()
	}
	if len(settled) > 0 {
		service["security_opt"] = settled
	}
}

// profileFile is the file of the repository that an option names.
func profileFile(option string) (file string, ok bool) {
	name, value, ok := strings.Cut(option, "=")
	if !ok {
		name, value, _ = strings.Cut(option, ":")
	}
	switch {
	case name != "seccomp", value == "unconfined", value == "builtin", filepath.IsAbs(value), strings.HasPrefix(value, "{"):
		return "", false
	}
	return value, true
}

// readProfile is read for a seccomp profile.
func (x *export) readProfile(rel string) ([]byte, error) { return x.read(rel, maxProfile) }
