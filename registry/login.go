package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// logins is a Docker configuration directory.
type logins struct {
	dir string
}

// errLogin: the configuration or a credential helper failed. Going on without
// the login that was meant would only hide why.
var errLogin = errors.New("registry login")

// hubKey is what Docker calls its own registry in configuration files.
const hubKey = "https://index.docker.io/v1/"

// find returns the login for a registry, anonymous if there is none.
func (l logins) find(ctx context.Context, registry string) (authn.Authenticator, error) {
	if l.dir == "" {
		return authn.Anonymous, nil
	}
	file, err := config.Load(l.dir)
	if err != nil {
		return nil, fmt.Errorf("%w: read the Docker configuration in %s: %w", errLogin, l.dir, err)
	}
	keys := []string{registry}
	if registry == name.DefaultRegistry {
		keys = []string{hubKey, registry, "docker.io"}
	}
	var found types.AuthConfig
	if helper, key := helperFor(file, keys); helper != "" {
		found, err = askHelper(ctx, helper, key)
	} else {
		found = stored(file, keys)
	}
	if err != nil {
		return nil, err
	}
	found.ServerAddress = ""
	if found == (types.AuthConfig{}) {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(authn.AuthConfig{
		Username: found.Username, Password: found.Password, Auth: found.Auth,
		IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
	}), nil
}

// helperFor is the credential helper in charge, and the name it knows the
// registry by.
func helperFor(file *configfile.ConfigFile, keys []string) (helper, key string) {
	for _, key := range keys {
		if h := file.CredentialHelpers[key]; h != "" {
			return h, key
		}
	}
	return file.CredentialsStore, keys[0]
}

// stored is a login that the file itself holds. Old versions of Docker wrote
// URLs where new ones write hosts.
func stored(file *configfile.ConfigFile, keys []string) types.AuthConfig {
	for _, key := range keys {
		if login, ok := file.AuthConfigs[key]; ok {
			return login
		}
	}
	for _, key := range keys {
		for written, login := range file.AuthConfigs {
			if hostOf(written) == key {
				return login
			}
		}
	}
	return types.AuthConfig{}
}

func hostOf(written string) string {
	_, rest, ok := strings.Cut(written, "://")
	if !ok {
		rest = written
	}
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// tokenUser is the user name by which helpers hand out identity tokens.
const tokenUser = "<token>"

// askHelper runs docker-credential-NAME. Docker's own client runs it without a
// deadline, and a helper that waits for a keyboard would stop every deploy.
func askHelper(ctx context.Context, helper, key string) (types.AuthConfig, error) {
	program := "docker-credential-" + helper
	if strings.ContainsAny(helper, "/\\") {
		return types.AuthConfig{}, fmt.Errorf("%w: %q is no name of a credential helper", errLogin, helper)
	}
	var out, complaint prefix
	cmd := exec.CommandContext(ctx, program, "get")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(key), &out, &complaint
	cmd.WaitDelay = time.Second // for children that keep its output open
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return types.AuthConfig{}, fmt.Errorf("%w: %s: %w", errLogin, program, ctx.Err())
	case err != nil && strings.Contains(out.String(), "credentials not found"):
		return types.AuthConfig{}, nil
	case err != nil:
		return types.AuthConfig{}, fmt.Errorf("%w: %s: %w: %s", errLogin, program, err, clean(complaint.String()))
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out.kept, &answer); err != nil {
		// The decoder's error may quote what it read.
		return types.AuthConfig{}, fmt.Errorf("%w: %s: its answer is no JSON", errLogin, program)
	}
	if answer.Username == tokenUser {
		return types.AuthConfig{IdentityToken: answer.Secret}, nil
	}
	return types.AuthConfig{Username: answer.Username, Password: answer.Secret}, nil
}

// prefix keeps the first bytes written to it.
type prefix struct {
	kept []byte
}

const maxHelperOutput = 64 << 10 // bytes

func (p *prefix) Write(b []byte) (int, error) {
	p.kept = append(p.kept, b[:min(len(b), maxHelperOutput-len(p.kept))]...)
	return len(b), nil
}

func (p *prefix) String() string { return string(p.kept) }
