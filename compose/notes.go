package compose

import (
	"fmt"
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// note adds a remark at a key of the merged stack.
func (l *loading) note(key, text string) {
	n := Note{File: l.survey.locate(key, l.stack.Files[0], nil).File, Key: key, Text: text}
	if !slices.Contains(l.notes, n) {
		l.notes = append(l.notes, n)
	}
}

// remarks are on what is declared and has no effect.
func (l *loading) remarks(r *rendering) {
	for _, name := range slices.Sorted(maps.Keys(r.model.Services)) {
		s, key := r.model.Services[name], "services."+name
		if s.PullRefreshAfter != "" && s.PullPolicy != types.PullPolicyRefresh {
			l.note(key+".pull_refresh_after", "has no effect without pull_policy: refresh")
		}
		if s.Attach != nil {
			l.note(key+".attach", "has no effect")
		}
		if s.Develop != nil {
			l.note(key+".develop", "has no effect: it is for work on a laptop")
		}
		if s.CredentialSpec != nil {
			l.note(key+".credential_spec", "has no effect: Compose ignores it, too")
		}
		l.deployRemarks(key+".deploy", s.Deploy)
		for i, use := range s.Configs {
			object := types.FileObjectConfig(r.model.Configs[use.Source])
			l.ownerRemark(fmt.Sprintf("%s.configs[%d]", key, i), types.FileReferenceConfig(use), object.File)
			l.objectRemark("configs."+use.Source, object)
		}
		for i, use := range s.Secrets {
			object := types.FileObjectConfig(r.model.Secrets[use.Source])
			l.ownerRemark(fmt.Sprintf("%s.secrets[%d]", key, i), types.FileReferenceConfig(use), object.File)
			l.objectRemark("secrets."+use.Source, object)
		}
	}
}

func (l *loading) deployRemarks(key string, d *types.DeployConfig) {
	if d == nil {
		return
	}
	if len(d.Labels) > 0 {
		l.note(key+".labels", "has no effect: labels of containers are the service's")
	}
	if len(d.Placement.Constraints) > 0 || len(d.Placement.Preferences) > 0 || d.Placement.MaxReplicas > 0 {
		l.note(key+".placement", "has no effect on a single host")
	}
	if r := d.RestartPolicy; r != nil && (r.Delay != nil || r.Window != nil) {
		l.note(key+".restart_policy", "delay and window have no effect")
	}
	for _, k := range swarmOnly(d) {
		l.note(key+"."+k, "has no effect: it is for a swarm")
	}
}

func (l *loading) ownerRemark(key string, f types.FileReferenceConfig, file string) {
	if file != "" && (f.UID != "" || f.GID != "" || f.Mode != nil) {
		l.note(key, "uid, gid and mode have no effect on a file that is mounted")
	}
}

func (l *loading) objectRemark(key string, o types.FileObjectConfig) {
	if len(o.Labels) > 0 {
		l.note(key+".labels", "has no effect: it is for a swarm")
	}
	if len(o.DriverOpts) > 0 {
		l.note(key+".driver_opts", "has no effect: it is for a swarm")
	}
}
