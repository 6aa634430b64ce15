package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/strslice"
	"github.com/docker/go-connections/nat"

	"davit/reconcile"
)

// hostConfig is everything of the host's side but mounts and networks.
func hostConfig(r reconcile.CreateRequest, b borrowing) (*container.HostConfig, error) {
	s := r.Service.Config
	restart, err := restartPolicy(or(r.Restart, "no"))
	if err != nil {
		return nil, err
	}
	res, err := resources(s)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", s.Name, err)
	}
	h := &container.HostConfig{
		Annotations:    s.Annotations,
		LogConfig:      logConfig(s.Logging),
		RestartPolicy:  restart,
		VolumeDriver:   s.VolumeDriver,
		CapAdd:         strslice.StrSlice(s.CapAdd),
		CapDrop:        strslice.StrSlice(s.CapDrop),
		CgroupnsMode:   container.CgroupnsMode(s.Cgroup),
		DNS:            s.DNS,
		DNSOptions:     s.DNSOpts,
		DNSSearch:      s.DNSSearch,
		ExtraHosts:     slices.Sorted(slices.Values(s.ExtraHosts.AsList(":"))),
		GroupAdd:       s.GroupAdd,
		IpcMode:        container.IpcMode(b.Ipc),
		PidMode:        container.PidMode(b.Pid),
		VolumesFrom:    b.VolumesFrom,
		Links:          b.Links,
		UTSMode:        container.UTSMode(s.Uts),
		UsernsMode:     container.UsernsMode(s.UserNSMode),
		OomScoreAdj:    int(s.OomScoreAdj),
		Privileged:     s.Privileged,
		ReadonlyRootfs: s.ReadOnly,
		StorageOpt:     s.StorageOpt,
		Tmpfs:          tmpfs(s.Tmpfs),
		ShmSize:        int64(s.ShmSize),
		Sysctls:        s.Sysctls,
		Runtime:        s.Runtime,
		Isolation:      container.Isolation(s.Isolation),
		Init:           s.Init,
		PortBindings:   nat.PortMap{},
		Resources:      res,
	}
	if r.Create.Ports {
		h.PortBindings = published(s, r.Create.Edge)
	}
	return h, security(h, s.SecurityOpt, r.Project.WorkingDir)
}

func logConfig(l *types.LoggingConfig) container.LogConfig {
	if l == nil {
		return container.LogConfig{}
	}
	return container.LogConfig{Type: l.Driver, Config: l.Options}
}

func tmpfs(list []string) map[string]string {
	mounts := map[string]string{}
	for _, t := range list {
		path, options, _ := strings.Cut(t, ":")
		mounts[path] = options
	}
	return mounts
}

// security reads seccomp profiles that are still files, of the host's and not of
// the repository's, because the engine may be elsewhere.
func security(h *container.HostConfig, options []string, dir string) error {
	for _, o := range options {
		if o == "systempaths=unconfined" {
			h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
			continue
		}
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			key, value, ok = strings.Cut(o, ":")
		}
		switch {
		case !ok && o != "no-new-privileges":
			return fmt.Errorf("security_opt %q: want key=value", o)
		case key == "seccomp" && value != "unconfined" && value != "builtin" && !strings.HasPrefix(value, "{"):
			profile, err := seccomp(value, dir)
			if err != nil {
				return err
			}
			o = "seccomp=" + profile
		}
		h.SecurityOpt = append(h.SecurityOpt, o)
	}
	return nil
}

func seccomp(path, dir string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("security_opt seccomp: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return "", fmt.Errorf("security_opt seccomp %s: %w", path, err)
	}
	return compact.String(), nil
}

// restartPolicy parses Compose's words for a policy.
func restartPolicy(s string) (container.RestartPolicy, error) {
	name, retries, limited := strings.Cut(s, ":")
	p := container.RestartPolicy{Name: container.RestartPolicyMode(name)}
	if limited {
		n, err := strconv.Atoi(retries)
		if err != nil || n < 0 {
			return p, fmt.Errorf("restart policy %q: want on-failure:COUNT", s)
		}
		p.MaximumRetryCount = n
	}
	if name == "" {
		return p, fmt.Errorf("restart policy %q: empty", s)
	}
	if err := container.ValidateRestartPolicy(p); err != nil {
		return p, fmt.Errorf("restart policy %q: %w", s, err)
	}
	return p, nil
}

// restartWords is the inverse of restartPolicy.
func restartWords(p container.RestartPolicy) string {
	if p.IsNone() {
		return "no"
	}
	if p.MaximumRetryCount > 0 {
		return fmt.Sprintf("%s:%d", p.Name, p.MaximumRetryCount)
	}
	return string(p.Name)
}
