package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"davit/cmd/internal/testbed"
)

// made is what one project is on the engine, as the engine tells it and with what
// differs from run to run taken out, or why there is nothing. It is what a record
// holds.
type made struct {
	// Refused is why nothing was made.
	Refused string `json:"refused,omitempty"`
	// Containers are by service and number, networks and volumes by their keys.
	Containers map[string]map[string]any `json:"containers,omitempty"`
	Networks   map[string]map[string]any `json:"networks,omitempty"`
	Volumes    map[string]map[string]any `json:"volumes,omitempty"`
}

// Compose's labels.
const (
	labelProject = "com.docker.compose.project"
	labelService = "com.docker.compose.service"
	labelNumber  = "com.docker.compose.container-number"
	labelNetwork = "com.docker.compose.network"
	labelVolume  = "com.docker.compose.volume"
	labelHash    = "com.docker.compose.config-hash"
)

// look asks the engine for everything of a project.
func (b *bench) look(ctx context.Context, project string, n normal) (made, error) {
	m := made{Containers: map[string]map[string]any{}, Networks: map[string]map[string]any{}, Volumes: map[string]map[string]any{}}
	narrow := testbed.Narrowed(labelProject + "=" + project)
	var containers, networks []struct{ Id string }
	var volumes struct{ Volumes []struct{ Name string } }
	err := errors.Join(
		b.engine.Ask(ctx, "/containers/json", narrow, &containers),
		b.engine.Ask(ctx, "/networks", narrow, &networks),
		b.engine.Ask(ctx, "/volumes", narrow, &volumes))
	if err != nil {
		return m, err
	}
	var seen []map[string]any
	for _, c := range containers {
		var one map[string]any
		if err := b.engine.Ask(ctx, "/containers/"+c.Id+"/json", nil, &one); err != nil {
			return m, err
		}
		n.know(c.Id, strings.TrimPrefix(one["Name"].(string), "/"), labelsOf(one["Config"].(map[string]any)))
		seen = append(seen, one)
	}
	for _, one := range seen {
		labels := labelsOf(one["Config"].(map[string]any))
		m.Containers[labels[labelService]+"/"+labels[labelNumber]] = n.container(one)
	}
	for _, c := range networks {
		var one map[string]any
		if err := b.engine.Ask(ctx, "/networks/"+c.Id, nil, &one); err != nil {
			return m, err
		}
		m.Networks[labelsOf(one)[labelNetwork]] = n.network(one)
	}
	for _, v := range volumes.Volumes {
		var one map[string]any
		if err := b.engine.Ask(ctx, "/volumes/"+v.Name, nil, &one); err != nil {
			return m, err
		}
		m.Volumes[labelsOf(one)[labelVolume]] = n.volume(one)
	}
	return m, nil
}

func labelsOf(of map[string]any) map[string]string {
	labels := map[string]string{}
	all, _ := of["Labels"].(map[string]any)
	for k, v := range all {
		labels[k], _ = v.(string)
	}
	return labels
}

// remove takes everything of a project away, with its volumes.
func (b *bench) remove(ctx context.Context, project string) error {
	ctx = context.WithoutCancel(ctx)
	narrow := testbed.Narrowed(labelProject + "=" + project)
	var containers, networks []struct{ Id string }
	var volumes struct{ Volumes []struct{ Name string } }
	err := b.engine.Ask(ctx, "/containers/json", narrow, &containers)
	for _, c := range containers {
		err = errors.Join(err, b.engine.Delete(ctx, "/containers/"+c.Id, url.Values{"force": {"true"}, "v": {"true"}}))
	}
	err = errors.Join(err, b.engine.Ask(ctx, "/networks", narrow, &networks), b.engine.Ask(ctx, "/volumes", narrow, &volumes))
	for _, n := range networks {
		err = errors.Join(err, b.engine.Delete(ctx, "/networks/"+n.Id, nil))
	}
	for _, v := range volumes.Volumes {
		err = errors.Join(err, b.engine.Delete(ctx, "/volumes/"+v.Name, nil))
	}
	if err != nil {
		return fmt.Errorf("remove project %s: %w", project, err)
	}
	return nil
}
