package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
	"davit/reconcile"
)

// Compose's labels, by which its own commands find a project's containers.
const (
	labelProject    = "com.docker.compose.project"
	labelService    = "com.docker.compose.service"
	labelNumber     = "com.docker.compose.container-number"
	labelOneOff     = "com.docker.compose.oneoff"
	labelConfigHash = "com.docker.compose.config-hash"
	labelDependsOn  = "com.docker.compose.depends_on"
	labelImage      = "com.docker.compose.image"
	labelFiles      = "com.docker.compose.project.config_files"
	labelWorkingDir = "com.docker.compose.project.working_dir"
	labelVersion    = "com.docker.compose.version"
	labelNetwork    = "com.docker.compose.network"
	labelVolume     = "com.docker.compose.volume"
)

// davit's own labels, from which an empty database is filled again.
const (
	labelInstance     = "davit.instance"
	labelRelease      = "davit.release"
	labelDavitVersion = "davit.version"
	labelSpec         = "davit.spec"
	labelPinned       = "davit.image"
	// labelEdge has the container's ports that the edge publishes: "8080/tcp,53/udp".
	labelEdge = "davit.edge"
	// labelMark says which hook of its release the container is for.
	labelMark = "davit.hook"
)

// composeVersion is what the version label says. Compose prints it and compares
// nothing to it.
const composeVersion = "davit"

// containerLabels are the user's labels and, over them, Compose's and davit's.
func containerLabels(r reconcile.CreateRequest, instance string) map[string]string {
	if mark := r.Create.Hook; mark.Phase.OfRelease() {
		return markLabels(r, instance)
	}
	labels := map[string]string{}
	maps.Copy(labels, r.Service.Config.Labels)
	maps.Copy(labels, r.Service.Config.CustomLabels)
	maps.Copy(labels, map[string]string{
		labelProject:      r.Project.Name,
		labelService:      r.Service.Name,
		labelNumber:       strconv.Itoa(r.Number),
		labelOneOff:       "False",
		labelConfigHash:   configHash(r),
		labelDependsOn:    dependencies(r.Service.Config.DependsOn),
		labelImage:        r.Image.ID,
		labelFiles:        r.Project.ConfigFiles(),
		labelWorkingDir:   r.Project.WorkingDir,
		labelVersion:      composeVersion,
		labelInstance:     instance,
		labelRelease:      strconv.FormatInt(r.Release, 10),
		labelDavitVersion: r.Version,
		labelSpec:         r.Service.Hash,
		labelPinned:       r.Image.Pinned(),
	})
	if len(r.Create.Edge) > 0 {
		labels[labelEdge] = strings.Join(r.Create.Edge, ",")
	}
	return labels
}

// markLabels are those of a hook's container: to Compose it is a one-off, which no
// command of its own takes for a replica.
func markLabels(r reconcile.CreateRequest, instance string) map[string]string {
	return map[string]string{
		labelProject: r.Project.Name, labelService: r.Service.Name, labelOneOff: "True", labelVersion: composeVersion,
		labelFiles: r.Project.ConfigFiles(), labelWorkingDir: r.Project.WorkingDir, labelImage: r.Image.ID,
		labelHook: r.Create.Hook.Phase.String(), labelMark: r.Create.Hook.String(), labelInstance: instance,
		labelRelease: strconv.FormatInt(r.Release, 10), labelDavitVersion: r.Version, labelSpec: r.Service.Hash, labelPinned: r.Image.Pinned(),
	}
}

// configHash is Compose's label. Compose hashes the containers that stand for other
// services, which are not known before now.
func configHash(r reconcile.CreateRequest) string {
	peers := map[string]string{}
	for service, list := range r.Peers {
		if len(list) > 0 {
			peers[service] = list[0].ID
		}
	}
	if len(peers) == 0 {
		return r.Service.ConfigHash
	}
	return or(r.Project.ConfigHash(r.Service.Name, r.Project.HashContext(peers)), r.Service.ConfigHash)
}

// dependencies is Compose's label, sorted so that equal services get equal
// labels.
func dependencies(on types.DependsOnConfig) string {
	var list []string
	for name, d := range on {
		list = append(list, fmt.Sprintf("%s:%s:%t", name, d.Condition, d.Restart))
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

// networkLabels and volumeLabels are Compose's, its own hash of the definition
// included, by which it and davit see that one has changed.
func networkLabels(p *compose.Project, key, instance string) map[string]string {
	n := p.Model.Networks[key]
	labels := resourceLabels(p, []types.Labels{n.Labels, n.CustomLabels}, labelNetwork, key, instance)
	labels[labelConfigHash] = p.NetworkHash(key)
	return labels
}

func volumeLabels(p *compose.Project, key, instance string) map[string]string {
	v := p.Model.Volumes[key]
	labels := resourceLabels(p, []types.Labels{v.Labels, v.CustomLabels}, labelVolume, key, instance)
	labels[labelConfigHash] = p.VolumeHash(key)
	return labels
}

func resourceLabels(p *compose.Project, declared []types.Labels, kind, key, instance string) map[string]string {
	labels := map[string]string{}
	for _, d := range declared {
		maps.Copy(labels, d)
	}
	labels[labelProject] = p.Name
	labels[kind] = key
	labels[labelVersion] = composeVersion
	labels[labelInstance] = instance
	return labels
}
