package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// composer runs Compose in the specimen's directory.
func (b *bench) compose(ctx context.Context, s specimen, args ...string) ([]byte, error) {
	all := []string{"-C", filepath.Join(s.work, s.stack.Dir), "-p", s.stack.Name, "--progress", "quiet"}
	if s.named {
		all = append(all, "-f", filepath.Join(s.work, s.stack.Files[0]))
	}
	var out, problems bytes.Buffer
	command := exec.CommandContext(ctx, b.composer, append(all, args...)...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "DOCKER_CONFIG=" + filepath.Join(home, "docker"), "DOCKER_HOST=" + b.engine.Host}
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimPrefix(last(problems.String()), "composer: "))
	}
	return out.Bytes(), nil
}

// last is the last line of text that says something.
func last(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// composed is what Compose understands of a file: the part that matters here.
type composed struct {
	Services map[string]struct {
		Image         string
		ContainerName string                   `yaml:"container_name"`
		PreStart      []struct{ Image string } `yaml:"pre_start"`
	}
	Networks, Volumes map[string]struct {
		Name     string
		External bool
	}
}

// surroundings are what a file needs, as Compose understands it.
func (b *bench) surroundings(ctx context.Context, s specimen) (outside, error) {
	said, err := b.compose(ctx, s, "config")
	if err != nil {
		return outside{}, err
	}
	var c composed
	if err := yaml.Unmarshal(said, &c); err != nil {
		return outside{}, fmt.Errorf("read Compose's idea of %s: %w", s.name, err)
	}
	var o outside
	for name, service := range c.Services {
		if service.Image == "" {
			service.Image = s.stack.Name + "-" + name
		}
		o.images = append(o.images, service.Image)
		for _, hook := range service.PreStart {
			o.images = append(o.images, hook.Image)
		}
		if service.ContainerName != "" {
			o.names = append(o.names, "container "+service.ContainerName)
		}
	}
	for _, n := range c.Networks {
		o.names = append(o.names, "network "+n.Name)
		if n.External {
			o.networks = append(o.networks, n.Name)
		}
	}
	for _, v := range c.Volumes {
		o.names = append(o.names, "volume "+v.Name)
		if v.External {
			o.volumes = append(o.volumes, v.Name)
		}
	}
	return o, nil
}

// byCompose is what Compose makes of a specimen. What it refuses is no error.
func (b *bench) byCompose(ctx context.Context, s specimen) (m made, err error) {
	remove, err := b.provideFor(ctx, s)
	if err != nil {
		return made{Refused: b.refusal(err)}, ctx.Err()
	}
	defer func() {
		if e := remove(); err == nil {
			err = e
		}
	}()
	if _, err := b.compose(ctx, s, "create", "--pull", "never", "--no-build"); err != nil {
		return made{Refused: b.refusal(err)}, ctx.Err()
	}
	p, err := b.load(ctx, s)
	if err != nil {
		p = nil // davit refuses it: it is not compared
	}
	return b.look(ctx, s.stack.Name, b.normal(s, p))
}

// provideFor makes what Compose needs for the specimen and returns how to remove
// that and what Compose made.
func (b *bench) provideFor(ctx context.Context, s specimen) (func() error, error) {
	o, err := b.surroundings(ctx, s)
	if err != nil {
		return nil, err
	}
	release := b.claims.take(o.names)
	remove, err := b.provide(ctx, o)
	if err != nil {
		release()
		return nil, err
	}
	return func() error {
		defer release()
		if err := b.remove(ctx, s.stack.Name); err != nil {
			return err
		}
		return remove()
	}, nil
}

// named is a list of names in an error, which Compose writes in any order.
var named = regexp.MustCompile(`'[^']+'(?:, '[^']+')+`)

// refusal is an error as a record keeps it.
func (b *bench) refusal(err error) string {
	text := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "exit status 1: "), home, "HOME")
	return named.ReplaceAllStringFunc(text, func(list string) string {
		names := strings.Split(list, ", ")
		slices.Sort(names)
		return strings.Join(names, ", ")
	})
}
