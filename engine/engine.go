package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/docker/client"

	"davit/reconcile"
)

// Options are what an Engine is made from.
type Options struct {
	// Host is the engine's address, "unix:///…" or "tcp://…"; default the local
	// socket. TLS settings come from DOCKER_CERT_PATH and DOCKER_TLS_VERIFY.
	Host string
	// Instance is this davit's identity, written on everything it makes. Required.
	Instance string
	// DockerConfigDir holds the config.json with registry credentials; default
	// the directory that the docker command uses.
	DockerConfigDir string
	// Logger is required.
	Logger *slog.Logger
	// Timeout bounds one ordinary request. Default 60 s.
	Timeout time.Duration
	// PullTimeout bounds one pull as a whole, PullStall the time in which it makes
	// no progress. Default 1 h and 3 min.
	PullTimeout, PullStall time.Duration
}

// Engine is a connection to one Docker Engine. Its methods are safe for
// concurrent use.
type Engine struct {
	host      string
	instance  string
	configDir string
	log       *slog.Logger
	timeout   time.Duration
	pull      time.Duration
	stall     time.Duration

	mu     sync.Mutex
	client *client.Client // nil before the first call and after an outage
	// dialling has room for one negotiation; the others wait for its end or theirs.
	dialling chan struct{}

	// making serialises what the engine lets one do twice under one name.
	making sync.Mutex
	// building has room for one build.
	building  chan struct{}
	seen      cache
	ours      stops
	exams     exams
	lingerers lingerers
	asked     apart
	orphans   orphans
	// volumes remembers inspects of volumes.
	volumes volumeCache
}

// New prepares an Engine. It does not talk to it: an engine that is down now may
// be up later.
func New(o Options) (*Engine, error) {
	if o.Instance == "" || o.Logger == nil {
		return nil, errors.New("engine: Instance and Logger are required")
	}
	e := &Engine{
		host:      or(o.Host, client.DefaultDockerHost),
		instance:  o.Instance,
		configDir: or(o.DockerConfigDir, config.Dir()),
		log:       o.Logger,
		timeout:   or(o.Timeout, time.Minute),
		pull:      or(o.PullTimeout, time.Hour),
		stall:     or(o.PullStall, 3*time.Minute),
		dialling:  make(chan struct{}, 1),
		building:  make(chan struct{}, 1),
		seen:      newCache(),
		ours:      newStops(),
		exams:     newExams(),
		lingerers: newLingerers(),
		orphans:   newOrphans(),
		volumes:   newVolumeCache(),
	}
	c, err := e.dial()
	if err != nil {
		return nil, fmt.Errorf("engine address %q: %w", e.host, err)
	}
	return e, c.Close()
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// Close lets go of idle connections. Calls under way end as they would.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.client == nil {
		return nil
	}
	return e.client.Close()
}

// Ping asks the engine who it is.
func (e *Engine) Ping(ctx context.Context) (Info, error) {
	var info Info
	err := e.do(ctx, "ping", func(ctx context.Context, c *client.Client) error {
		v, err := c.ServerVersion(ctx)
		info = Info{APIVersion: c.ClientVersion(), Version: v.Version}
		return err
	})
	return info, err
}

// do makes one request within the ordinary deadline and explains its error.
func (e *Engine) do(ctx context.Context, what string, f func(context.Context, *client.Client) error) error {
	return e.doWithin(ctx, e.timeout, what, f)
}

func (e *Engine) doWithin(ctx context.Context, limit time.Duration, what string, f func(context.Context, *client.Client) error) error {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := e.connect(bounded)
	if err == nil {
		err = f(bounded, c)
	}
	if err == nil {
		return nil
	}
	err = explain(ctx, err)
	if errors.Is(err, reconcile.ErrEngineUnavailable) {
		e.forget(c)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// connect returns a client whose API version was negotiated with the engine that
// answers now. The client keeps its version for life, so an engine that comes
// back, perhaps upgraded, needs a new one.
func (e *Engine) connect(ctx context.Context) (*client.Client, error) {
	if c := e.connected(); c != nil {
		return c, nil
	}
	select {
	case e.dialling <- struct{}{}:
		defer func() { <-e.dialling }()
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
	if c := e.connected(); c != nil {
		return c, nil
	}
	c, err := e.dial()
	if err != nil {
		return nil, err
	}
	ping, err := c.Ping(ctx)
	if err != nil {
		return nil, errors.Join(unavailable(err), c.Close())
	}
	c.NegotiateAPIVersionPing(ping)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.client = c
	return c, nil
}

func (e *Engine) connected() *client.Client {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.client
}

func (e *Engine) dial() (*client.Client, error) {
	return client.NewClientWithOpts(
		client.WithTLSClientConfigFromEnv(),
		client.WithHost(e.host),
		client.WithUserAgent("davit"),
	)
}

// forget makes the next call negotiate anew, unless another call has already.
func (e *Engine) forget(c *client.Client) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c == nil || e.client != c {
		return
	}
	e.client = nil
	if err := c.Close(); err != nil {
		e.log.Debug("close engine client", "err", err)
	}
}
