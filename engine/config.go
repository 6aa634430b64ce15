package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/strslice"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"davit/reconcile"
)

// spec is one container as the engine's API is asked for it.
type spec struct {
	Config   *container.Config
	Host     *container.HostConfig
	Network  *network.NetworkingConfig
	Platform *ocispec.Platform
	// Later are the endpoints that this API version takes only after creation.
	Later []endpoint
	// Files are written into the container before it starts.
	Files []file
}

// surroundings are what a conversion needs to know besides the request.
type surroundings struct {
	// API is the negotiated version.
	API string
	// Instance is this davit's.
	Instance string
	// Image is the reference to create from.
	Image string
	// Proxy is the environment that the Docker config file gives every container.
	Proxy map[string]*string
	// Credentials is the Docker config file for a service that uses the engine's
	// socket; "" for others.
	Credentials string
}

// convert turns a request into what Compose would ask the engine for. It makes no
// call and changes nothing of what it is given.
func convert(r reconcile.CreateRequest, in surroundings) (spec, error) {
	s := r.Service.Config
	if err := supported(s); err != nil {
		return spec{}, err
	}
	if err := permitted(s, in.API); err != nil {
		return spec{}, err
	}
	cfg, err := containerConfig(r, in)
	if err != nil {
		return spec{}, err
	}
	shared, err := borrowed(r)
	if err != nil {
		return spec{}, err
	}
	host, err := hostConfig(r, shared)
	if err != nil {
		return spec{}, err
	}
	if host.Binds, host.Mounts, err = mounts(r); err != nil {
		return spec{}, err
	}
	out := spec{Config: cfg, Host: host}
	if out.Files, err = injected(r, in); err != nil {
		return spec{}, err
	}
	if out.Platform, err = platform(s.Platform); err != nil {
		return spec{}, err
	}
	return out, networking(&out, r, shared, in.API)
}

func containerConfig(r reconcile.CreateRequest, in surroundings) (*container.Config, error) {
	s := r.Service.Config
	health, err := healthcheck(s.HealthCheck)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", s.Name, err)
	}
	ports, err := exposed(s)
	if err != nil {
		return nil, fmt.Errorf("service %s: %w", s.Name, err)
	}
	return &container.Config{
		Hostname:        s.Hostname,
		Domainname:      s.DomainName,
		User:            s.User,
		AttachStdout:    true, // as Compose has it, though nothing attaches
		AttachStderr:    true,
		ExposedPorts:    ports,
		Tty:             s.Tty,
		OpenStdin:       s.StdinOpen,
		Env:             environment(s.Environment, in.Proxy),
		Cmd:             words(s.Command),
		Healthcheck:     health,
		Image:           in.Image,
		WorkingDir:      s.WorkingDir,
		Entrypoint:      words(s.Entrypoint),
		NetworkDisabled: s.NetworkMode == "disabled",
		Labels:          containerLabels(r, in.Instance),
		StopSignal:      s.StopSignal,
		StopTimeout:     seconds(s.StopGracePeriod),
	}, nil
}

// words keeps the difference between nothing said (the image decides) and an
// empty list (nothing is run).
func words(c types.ShellCommand) strslice.StrSlice {
	if c == nil {
		return nil
	}
	return strslice.StrSlice(append([]string{}, c...))
}

// environment is sorted. A variable without a value is passed as its bare name,
// which takes it away from what the image sets.
func environment(declared types.MappingWithEquals, proxy map[string]*string) []string {
	all := map[string]*string{}
	maps.Copy(all, proxy)
	maps.Copy(all, declared)
	var list []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if value := all[name]; value != nil {
			name += "=" + *value
		}
		list = append(list, name)
	}
	return list
}

// seconds truncates, as Compose does: 1.5s is 1.
func seconds(d *types.Duration) *int {
	if d == nil {
		return nil
	}
	n := int(time.Duration(*d).Seconds())
	return &n
}

func healthcheck(h *types.HealthCheckConfig) (*container.HealthConfig, error) {
	if h == nil {
		return nil, nil
	}
	if h.StartInterval != nil && h.StartPeriod == nil {
		return nil, errors.New("healthcheck.start_interval needs start_period")
	}
	c := &container.HealthConfig{
		Test:          h.Test,
		Interval:      duration(h.Interval),
		Timeout:       duration(h.Timeout),
		StartPeriod:   duration(h.StartPeriod),
		StartInterval: duration(h.StartInterval),
	}
	if h.Retries != nil {
		c.Retries = int(*h.Retries)
	}
	if h.Disable {
		c.Test = []string{"NONE"}
	}
	return c, nil
}

func duration(d *types.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return time.Duration(*d)
}
