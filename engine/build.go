package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/client"

	"davit/compose"
	"davit/reconcile"
)

const (
	// maxOutput bounds what is kept of a build's output, in bytes.
	maxOutput = 16 << 10
	// buildRetry is when a build that failed is tried again: its Dockerfile will not
	// have changed, but what it downloads may have.
	buildRetry = 10 * time.Minute
)

// Build makes the image that i.Build describes, unless the engine has one that was
// made of the same, and returns i with its ID and facts. It is made by the engine's
// classic builder, the only one that the engine's API offers by itself. The error
// is a reconcile.Stalled with a reconcile.BuildFailure in it where the build itself
// failed.
func (e *Engine) Build(ctx context.Context, i reconcile.Image) (reconcile.Image, error) {
	if i.Build == nil {
		return i, fmt.Errorf("build image %s: nothing is said of how", i.Ref)
	}
	// One at a time: a build may take all of a small host.
	select {
	case e.building <- struct{}{}:
		defer func() { <-e.building }()
	case <-ctx.Done():
		return i, fmt.Errorf("build image %s: %w", i.Ref, ctx.Err())
	}
	got, err := e.LocalImage(ctx, i.Built)
	switch {
	case errors.Is(err, reconcile.ErrImageMissing):
		if err = e.construct(ctx, *i.Build); err == nil {
			got, err = e.LocalImage(ctx, i.Built)
		}
	case err == nil:
		err = e.Tag(ctx, got.ID, i.Ref)
	}
	if err != nil {
		return i, err
	}
	got.Ref, got.Digest, got.Platform, got.Built, got.Build = i.Ref, i.Digest, i.Platform, i.Built, i.Build
	return got, nil
}

func (e *Engine) construct(ctx context.Context, b compose.Build) error {
	options, err := e.buildOptions(ctx, b)
	if err != nil {
		return fmt.Errorf("build image %s: %w", b.Name, err)
	}
	bounded, cancel := context.WithTimeout(ctx, e.pull)
	defer cancel()
	c, err := e.connect(bounded)
	if err != nil {
		return fmt.Errorf("build image %s: %w", b.Name, explain(ctx, err))
	}
	run := &construction{output: &ending{limit: maxOutput}}
	if err = run.run(bounded, c, b, options); err == nil {
		return nil
	}
	err = explain(ctx, err)
	if errors.Is(err, reconcile.ErrEngineUnavailable) {
		e.forget(c)
	}
	return run.verdict(b, err)
}

// buildOptions are what the classic builder takes of a `build`.
func (e *Engine) buildOptions(ctx context.Context, b compose.Build) (build.ImageBuildOptions, error) {
	logins, err := e.allCredentials(ctx)
	if err != nil {
		return build.ImageBuildOptions{}, err
	}
	proxies, err := e.proxies()
	if err != nil {
		return build.ImageBuildOptions{}, err
	}
	arguments := map[string]*string{}
	maps.Copy(arguments, proxies)
	maps.Copy(arguments, b.Config.Args)
	return build.ImageBuildOptions{
		Tags:        append([]string{b.Tag, b.Name}, b.Config.Tags...),
		Dockerfile:  b.Context.Dockerfile,
		BuildArgs:   arguments,
		Labels:      b.Config.Labels,
		Target:      b.Config.Target,
		CacheFrom:   b.Config.CacheFrom,
		NetworkMode: b.Config.Network,
		ExtraHosts:  b.Config.ExtraHosts.AsList(":"),
		Isolation:   container.Isolation(b.Config.Isolation),
		ShmSize:     int64(b.Config.ShmSize),
		Ulimits:     ulimits(b.Config.Ulimits),
		NoCache:     b.Config.NoCache,
		PullParent:  b.Config.Pull,
		Platform:    b.Platform,
		AuthConfigs: logins,
		Remove:      true,
		ForceRemove: true,
	}, nil
}

// construction is one run of the builder.
type construction struct {
	output *ending
	// step is what the builder is about: "FROM debian".
	step string
	// refused is true when the builder, not the way to it, said no.
	refused bool
}

// run sends the context and reads the builder's output to the end, which is where
// errors are told.
func (r *construction) run(ctx context.Context, c *client.Client, b compose.Build, options build.ImageBuildOptions) error {
	read, write := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		_, err := b.Context.WriteTo(write)
		packed <- errors.Join(err, write.CloseWithError(err))
	}()
	answer, err := c.ImageBuild(ctx, read, options)
	if err == nil {
		err = r.follow(answer.Body)
		err = errors.Join(err, answer.Body.Close())
	} else {
		r.refused = errdefs.IsInvalidArgument(err)
	}
	// A builder that has seen enough reads no further.
	_ = read.Close()
	if unpacked := <-packed; unpacked != nil && !errors.Is(unpacked, io.ErrClosedPipe) {
		return errors.Join(unpacked, err)
	}
	return err
}

func (r *construction) follow(body io.Reader) error {
	lines := json.NewDecoder(body)
	for {
		var line struct {
			Stream string `json:"stream"`
			Error  string `json:"error"`
		}
		err := lines.Decode(&line)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the builder's output: %w", err)
		case line.Error != "":
			r.refused = true
			return errors.New(line.Error)
		}
		if _, step, ok := strings.Cut(line.Stream, " : "); ok && strings.HasPrefix(line.Stream, "Step ") {
			r.step = strings.TrimSpace(step)
		}
		if _, err := io.WriteString(r.output, line.Stream); err != nil {
			return err
		}
	}
}

// verdict tells the fault of what is built from that of the world around.
func (r *construction) verdict(b compose.Build, err error) error {
	what := "build image " + b.Name
	if !r.refused || errors.Is(err, reconcile.ErrDiskFull) {
		return fmt.Errorf("%s: %w", what, err)
	}
	if strings.HasPrefix(strings.ToUpper(r.step), "FROM") {
		if known := refusal(err, r.step); known != err {
			return fmt.Errorf("%s: %w", what, known)
		}
	}
	output := legible(r.output.kept)
	if r.step != "" {
		err = fmt.Errorf("%s: %w", r.step, err)
	}
	if said := lastLine(output); said != "" {
		err = fmt.Errorf("%w; it printed last: %s", err, said)
	}
	if strings.Contains(err.Error(), "BuildKit") {
		err = reconcile.WithHint(err, "davit builds with the engine's own builder, which does not know what BuildKit added to Dockerfiles")
	}
	return &reconcile.Stalled{After: buildRetry, Reason: what, Err: &reconcile.BuildFailure{Tag: b.Tag, Output: output, Err: err}}
}

// lastLine is the last line that a command of the Dockerfile, not the builder,
// printed.
func lastLine(output string) string {
	lines := strings.Split(output, "\n")
	for _, line := range slices.Backward(lines) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "Step "):
			return ""
		case line == "", strings.HasPrefix(line, "---> "), strings.HasPrefix(line, "Removing intermediate container "):
		default:
			return line
		}
	}
	return ""
}

// legible is what a builder printed, without the colours that it gives to errors.
func legible(output []byte) string {
	return strings.TrimSpace(strings.ToValidUTF8(string(colour.ReplaceAll(output, nil)), "\uFFFD"))
}

var colour = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// proxies are those of the Docker configuration, as arguments that every
// Dockerfile knows.
func (e *Engine) proxies() (map[string]*string, error) {
	file, err := e.dockerConfig()
	if err != nil {
		return nil, err
	}
	return file.ParseProxyConfig(e.host, nil), nil
}

// allCredentials are the logins for every registry: which ones a Dockerfile pulls
// from is for the builder to find out.
func (e *Engine) allCredentials(ctx context.Context) (map[string]registry.AuthConfig, error) {
	file, err := e.dockerConfig()
	if err != nil {
		return nil, err
	}
	found, err := patiently(ctx, file.GetAllCredentials)
	if err != nil {
		return nil, fmt.Errorf("registry credentials: %w", err)
	}
	all := map[string]registry.AuthConfig{}
	for host, auth := range found {
		all[host] = registry.AuthConfig{
			Username: auth.Username, Password: auth.Password, Auth: auth.Auth,
			ServerAddress: auth.ServerAddress, IdentityToken: auth.IdentityToken, RegistryToken: auth.RegistryToken,
		}
	}
	return all, nil
}
