package engine

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/docker/docker/api/types/registry"
)

// helperTimeout bounds a credential helper, which is somebody's program.
const helperTimeout = 30 * time.Second

// credentials is the header for ref's registry, from the Docker config file or
// the helper that it names; "" when there are none.
func (e *Engine) credentials(ctx context.Context, ref string) (string, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", fmt.Errorf("image reference %q: %w", ref, err)
	}
	domain := reference.Domain(named)
	auth, err := e.lookUp(ctx, domain)
	if err != nil {
		return "", fmt.Errorf("registry credentials for %s: %w", domain, err)
	}
	if auth == (types.AuthConfig{}) || auth == (types.AuthConfig{ServerAddress: auth.ServerAddress}) {
		return "", nil
	}
	return registry.EncodeAuthConfig(registry.AuthConfig{
		Username: auth.Username, Password: auth.Password, Auth: auth.Auth,
		ServerAddress: auth.ServerAddress, IdentityToken: auth.IdentityToken, RegistryToken: auth.RegistryToken,
	})
}

func (e *Engine) lookUp(ctx context.Context, domain string) (types.AuthConfig, error) {
	file, err := e.dockerConfig()
	if err != nil {
		return types.AuthConfig{}, err
	}
	return patiently(ctx, func() (types.AuthConfig, error) { return file.GetAuthConfig(domain) })
}

// everyCredential is a Docker config file with the credentials of all registries,
// for a container that speaks to the engine itself.
func (e *Engine) everyCredential(ctx context.Context) (string, error) {
	file, err := e.dockerConfig()
	if err != nil {
		return "", err
	}
	all, err := patiently(ctx, file.GetAllCredentials)
	if err != nil {
		return "", fmt.Errorf("registry credentials for use_api_socket: %w", err)
	}
	var b bytes.Buffer
	if err := (&configfile.ConfigFile{AuthConfigs: all}).SaveToWriter(&b); err != nil {
		return "", fmt.Errorf("registry credentials for use_api_socket: %w", err)
	}
	return b.String(), nil
}

func (e *Engine) dockerConfig() (*configfile.ConfigFile, error) {
	file, err := config.Load(e.configDir)
	if err != nil {
		return nil, fmt.Errorf("read %s/config.json: %w", e.configDir, err)
	}
	return file, nil
}

// patiently asks a credential helper and does not wait longer than helperTimeout.
// The goroutine of a helper that hangs ends with the helper, which cannot be told
// to stop.
func patiently[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	got := make(chan answer, 1)
	go func() {
		value, err := ask()
		got <- answer{value, err}
	}()
	select {
	case a := <-got:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("the credential helper does not answer: %w", ctx.Err())
	}
}
