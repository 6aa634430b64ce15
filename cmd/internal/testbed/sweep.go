package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// sweep removes everything of one bed from an engine: the containers, networks
// and volumes of its stacks, its tasks, its images and the tags that hold them.
type sweep struct {
	engine *Engine
	bed    string
	stacks []string
	// volumes are names that carry no label: what images declared.
	volumes []string
}

func (s sweep) run(ctx context.Context) error {
	var problems []error
	labels := []string{bedLabel + "=" + s.bed}
	for _, stack := range s.stacks {
		labels = append(labels, projectLabel+"="+stack)
	}
	for _, label := range labels {
		problems = append(problems, s.containers(ctx, label), s.networks(ctx, label), s.labelledVolumes(ctx, label))
	}
	for _, volume := range s.volumes {
		problems = append(problems, s.engine.remove(ctx, "/volumes/"+volume, nil))
	}
	problems = append(problems, s.images(ctx), s.left(ctx, labels))
	return errors.Join(problems...)
}

// left looks again and names what is still there.
func (s sweep) left(ctx context.Context, labels []string) error {
	var problems []error
	for _, label := range labels {
		narrow := filters(map[string][]string{"label": {label}})
		narrow.Set("all", "true")
		var containers, networks, images []struct{ ID string }
		var volumes struct{ Volumes []struct{ Name string } }
		problems = append(problems,
			s.engine.get(ctx, "/containers/json", narrow, &containers),
			s.engine.get(ctx, "/networks", narrow, &networks),
			s.engine.get(ctx, "/volumes", narrow, &volumes),
			s.engine.get(ctx, "/images/json", narrow, &images))
		if n := len(containers) + len(networks) + len(volumes.Volumes) + len(images); n > 0 {
			problems = append(problems, fmt.Errorf("left with label %s: containers %v, networks %v, volumes %v, images %v",
				label, containers, networks, volumes.Volumes, images))
		}
	}
	return errors.Join(problems...)
}

func (s sweep) containers(ctx context.Context, label string) error {
	found, err := s.engine.containers(ctx, label)
	problems := []error{err}
	for _, c := range found {
		problems = append(problems, s.engine.RemoveContainer(ctx, c.ID))
		for _, volume := range c.Volumes {
			problems = append(problems, s.engine.remove(ctx, "/volumes/"+volume, nil))
		}
	}
	return errors.Join(problems...)
}

func (s sweep) networks(ctx context.Context, label string) error {
	var found []struct{ ID string }
	problems := []error{s.engine.get(ctx, "/networks", filters(map[string][]string{"label": {label}}), &found)}
	for _, n := range found {
		problems = append(problems, s.engine.remove(ctx, "/networks/"+n.ID, nil))
	}
	return errors.Join(problems...)
}

func (s sweep) labelledVolumes(ctx context.Context, label string) error {
	var found struct{ Volumes []struct{ Name string } }
	problems := []error{s.engine.get(ctx, "/volumes", filters(map[string][]string{"label": {label}}), &found)}
	for _, v := range found.Volumes {
		problems = append(problems, s.engine.remove(ctx, "/volumes/"+v.Name, nil))
	}
	return errors.Join(problems...)
}

// images removes the bed's images with all their names, then keep tags that are
// left on others.
func (s sweep) images(ctx context.Context) error {
	var marked []struct{ ID string }
	problems := []error{s.engine.get(ctx, "/images/json", filters(map[string][]string{"label": {bedLabel + "=" + s.bed}}), &marked)}
	for _, i := range marked {
		problems = append(problems, s.engine.RemoveImage(ctx, i.ID))
	}
	kept, err := s.engine.KeepTags(ctx, s.stacks...)
	problems = append(problems, err)
	for _, tag := range kept {
		problems = append(problems, s.engine.RemoveImage(ctx, tag))
	}
	return errors.Join(problems...)
}

// KeepTags are the tags by which davit holds the images of stacks, sorted.
func (e *Engine) KeepTags(ctx context.Context, stacks ...string) ([]string, error) {
	var found []struct{ RepoTags []string }
	if err := e.get(ctx, "/images/json", url.Values{"all": {"false"}}, &found); err != nil {
		return nil, err
	}
	var tags []string
	for _, image := range found {
		for _, tag := range image.RepoTags {
			for _, stack := range stacks {
				if strings.HasPrefix(tag, "davit.local/keep/"+stack+"/") || strings.HasPrefix(tag, "davit.local/keep/"+stack+":") {
					tags = append(tags, tag)
				}
			}
		}
	}
	slices.Sort(tags)
	return tags, nil
}
