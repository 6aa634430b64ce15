package testbed

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Container is a container as the engine describes it.
type Container struct {
	ID, Name string
	// Service and Number are Compose's labels.
	Service string
	Number  int
	Labels  map[string]string
	// ImageRef is the name it was created with, ImageID what that meant.
	ImageRef, ImageID string
	Running           bool
	// State is the engine's word: "running", "exited".
	State    string
	ExitCode int
	// Health is "healthy", "starting", "unhealthy", or "none" without a check.
	Health  string
	Started time.Time
	Restart string
	Env     []string
	// Volumes are the names of the volumes it may write to, by path.
	Volumes map[string]string
	// Binds are the paths on the host that it mounts, by path.
	Binds map[string]string
	// Addresses and Aliases are by network.
	Addresses map[string]string
	Aliases   map[string][]string
}

// Ready reports whether it serves: healthy, or running where nothing is checked.
func (c Container) Ready() bool {
	return c.Running && (c.Health == "healthy" || c.Health == "none")
}

func (c Container) String() string {
	return fmt.Sprintf("%s %s %s health=%s image=%s restart=%s", c.Name, c.ID[:12], c.State, c.Health, c.ImageRef, c.Restart)
}

// inspection is the engine's answer, as far as it is read.
type inspection struct {
	ID, Name, Image string
	State           struct {
		Status    string
		Running   bool
		ExitCode  int
		StartedAt time.Time
		Health    *struct{ Status string }
	}
	Config struct {
		Image  string
		Env    []string
		Labels map[string]string
	}
	HostConfig struct {
		RestartPolicy struct{ Name string }
	}
	Mounts []struct {
		Type, Name, Source, Destination string
		RW                              bool
	}
	NetworkSettings struct {
		Networks map[string]struct {
			IPAddress string
			Aliases   []string
		}
	}
}

// Containers are all containers of a stack, stopped ones too, by name.
func (e *Engine) Containers(ctx context.Context, stack string) ([]Container, error) {
	return e.containers(ctx, projectLabel+"="+stack)
}

// containers are those with a label, or all where none is named.
func (e *Engine) containers(ctx context.Context, label string) ([]Container, error) {
	query := url.Values{}
	if label != "" {
		query = filters(map[string][]string{"label": {label}})
	}
	query.Set("all", "true")
	var listed []struct{ ID string }
	if err := e.get(ctx, "/containers/json", query, &listed); err != nil {
		return nil, err
	}
	var found []Container
	for _, l := range listed {
		c, err := e.Container(ctx, l.ID)
		if isGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	slices.SortFunc(found, func(a, b Container) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// Container looks one up by ID or name.
func (e *Engine) Container(ctx context.Context, id string) (Container, error) {
	var i inspection
	if err := e.get(ctx, "/containers/"+id+"/json", nil, &i); err != nil {
		return Container{}, err
	}
	number, _ := strconv.Atoi(i.Config.Labels[numberLabel]) // 0 for what Compose did not number
	c := Container{
		ID: i.ID, Name: strings.TrimPrefix(i.Name, "/"),
		Service: i.Config.Labels[serviceLabel], Number: number, Labels: i.Config.Labels,
		ImageRef: i.Config.Image, ImageID: i.Image,
		Running: i.State.Running, State: i.State.Status, ExitCode: i.State.ExitCode,
		Health: "none", Started: i.State.StartedAt,
		Restart: i.HostConfig.RestartPolicy.Name, Env: i.Config.Env,
		Volumes: map[string]string{}, Binds: map[string]string{}, Addresses: map[string]string{}, Aliases: map[string][]string{},
	}
	if i.State.Health != nil {
		c.Health = i.State.Health.Status
	}
	for _, m := range i.Mounts {
		if m.Type == "volume" && m.RW {
			c.Volumes[m.Destination] = m.Name
		}
		if m.Type == "bind" {
			c.Binds[m.Destination] = m.Source
		}
	}
	for network, endpoint := range i.NetworkSettings.Networks {
		c.Addresses[network], c.Aliases[network] = endpoint.IPAddress, endpoint.Aliases
	}
	return c, nil
}

// Task is a container that belongs to no stack, such as a client of one.
type Task struct {
	Name, Image, Network string
	Args                 []string
	// Label marks it for the sweep.
	Label string
	// Labels are what it carries besides, such as those of another tool.
	Labels map[string]string
}

// Run creates and starts a task and returns its ID. Its image must be there.
func (e *Engine) Run(ctx context.Context, t Task) (string, error) {
	var created struct{ ID string }
	labels := map[string]string{bedLabel: t.Label}
	maps.Copy(labels, t.Labels)
	err := e.send(ctx, "/containers/create", url.Values{"name": {t.Name}}, map[string]any{
		"Image": t.Image, "Cmd": t.Args,
		"Labels":      labels,
		"Healthcheck": map[string]any{"Test": []string{"NONE"}},
		"HostConfig":  map[string]any{"NetworkMode": t.Network},
	}, &created)
	if err != nil {
		return "", err
	}
	return created.ID, e.Start(ctx, created.ID)
}

// Start starts a container.
func (e *Engine) Start(ctx context.Context, id string) error {
	return e.send(ctx, "/containers/"+id+"/start", nil, nil, nil)
}

// Stop stops a container as `docker stop` does.
func (e *Engine) Stop(ctx context.Context, id string) error {
	return e.send(ctx, "/containers/"+id+"/stop", nil, nil, nil)
}

// RemoveContainer removes a container, running or not, with its anonymous volumes.
func (e *Engine) RemoveContainer(ctx context.Context, id string) error {
	return e.remove(ctx, "/containers/"+id, url.Values{"force": {"true"}, "v": {"true"}})
}

// Drop removes a container as `docker rm -f` does: its anonymous volumes stay.
func (e *Engine) Drop(ctx context.Context, id string) error {
	return e.remove(ctx, "/containers/"+id, url.Values{"force": {"true"}})
}

// Logs is what a container printed, both streams as they came.
func (e *Engine) Logs(ctx context.Context, id string) (string, error) {
	query := url.Values{"stdout": {"true"}, "stderr": {"true"}}
	body, err := e.open(ctx, http.MethodGet, "/containers/"+id+"/logs", query, nil)
	if err != nil {
		return "", err
	}
	defer body.Close()
	var out bytes.Buffer
	var header [8]byte
	for {
		// Each frame says its stream in the first byte and its length in the last four.
		if _, err := io.ReadFull(body, header[:]); err == io.EOF {
			return out.String(), nil
		} else if err != nil {
			return "", fmt.Errorf("read logs of %s: %w", id, err)
		}
		if _, err := io.CopyN(&out, body, int64(binary.BigEndian.Uint32(header[4:]))); err != nil {
			return "", fmt.Errorf("read logs of %s: %w", id, err)
		}
	}
}

// ReadFile is a file of a container, running or not, its volumes included.
func (e *Engine) ReadFile(ctx context.Context, id, path string) (string, error) {
	body, err := e.open(ctx, http.MethodGet, "/containers/"+id+"/archive", url.Values{"path": {path}}, nil)
	if err != nil {
		return "", err
	}
	defer body.Close()
	archive := tar.NewReader(body)
	if _, err := archive.Next(); err != nil {
		return "", fmt.Errorf("read %s of %s: %w", path, id, err)
	}
	content, err := io.ReadAll(archive)
	if err != nil {
		return "", fmt.Errorf("read %s of %s: %w", path, id, err)
	}
	return string(content), nil
}
