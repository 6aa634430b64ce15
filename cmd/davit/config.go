package main

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"

	"davit/analysis"
	"davit/compose"
	"davit/notify"
	"davit/reconcile"
)

// Config is everything that can be set. Flags, DAVIT_* variables and the
// configuration file say the same things; docs/configuration.md lists them. A
// secret is never a value here, only the name of a file that holds it.
type Config struct {
	// Sources are the entries of sources:, each in place of the settings below that
	// concern a repository.
	Sources []Source
	// alone are the settings of a repository that were given outside sources:.
	alone []string

	Repo                        string
	Branch, Tag, Semver, Commit string
	TagPrefix                   string
	Prerelease                  bool
	Path                        string
	Interval                    string

	TokenFile, Username, PasswordFile             string
	SSHKeyFile, SSHPassphraseFile, KnownHostsFile string
	CAFile                                        string

	Data         string
	Engine       string
	DockerConfig string
	// InsecureRegistries may be spoken to over plain http.
	InsecureRegistries []string
	KeepReleases       int
	// Parallel is how many stacks are worked on at once.
	Parallel int
	// Adopt, Mode and Edge are words that settings have checked.
	Adopt, Mode, Edge string
	Env               map[string]string
	EnvDir            string
	// AgeKeyFile opens what the repository holds encrypted; SecretsDir is where
	// decrypted files are mounted from.
	AgeKeyFile, SecretsDir string
	// Balancers are the load balancers of this host, by name.
	Balancers []BalancerConfig
	// Prometheus are the servers that analyses may ask.
	Prometheus []analysis.Server
	// Windows are when new content may go in, whatever stacks say themselves.
	Windows compose.Windows
	// Policy is the file of what stacks may ask of this host.
	Policy   string
	Webhooks []Webhook

	LogFormat, LogLevel string
}

// Webhook is one receiver of events.
type Webhook struct {
	// Name tells receivers apart in logs; the URL's host by default.
	Name string
	// URL may hold a secret: no message quotes it.
	URL string
	// SecretFile holds the key that signs every delivery.
	SecretFile string
	// Events are the kinds that are sent, or only "*" for all of them; empty means
	// notify.DefaultEvents.
	Events []string
}

// defaults are the settings where nobody says anything.
func (c *console) defaults() Config {
	data := "/var/lib/davit"
	if !c.Root {
		state := c.Getenv("XDG_STATE_HOME")
		if state == "" {
			state = filepath.Join(c.Getenv("HOME"), ".local", "state")
		}
		data = filepath.Join(state, "davit")
	}
	secrets := "/run/davit"
	if run := c.Getenv("XDG_RUNTIME_DIR"); !c.Root && run != "" {
		secrets = filepath.Join(run, "davit")
	}
	docker := c.Getenv("DOCKER_CONFIG")
	if docker == "" {
		docker = filepath.Join(c.Getenv("HOME"), ".docker")
	}
	engine := c.Getenv("DOCKER_HOST")
	if engine == "" {
		engine = "unix:///var/run/docker.sock"
	}
	return Config{
		Path: ".", Interval: "30s", Data: data, Engine: engine, DockerConfig: docker, SecretsDir: secrets,
		KeepReleases: 3, Parallel: 8, Adopt: "identical", Mode: "run", Edge: "auto", LogFormat: "text", LogLevel: "info",
	}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// check finds what no single setting can know, every mistake at once.
func (o Config) check() error {
	var all *multierror.Error
	all = multierror.Append(all, o.checkRepository()...)
	for _, s := range o.Sources {
		for _, err := range s.checkRepository() {
			all = multierror.Append(all, fmt.Errorf("source %s: %w", s.Name, err))
		}
	}
	if len(o.Sources) > 0 && len(o.alone) > 0 {
		all = multierror.Append(all, reconcile.WithHint(fmt.Errorf("sources excludes %s", strings.Join(o.alone, ", ")), "write it into each source that it is for"))
	}
	all = multierror.Append(all, o.checkBalancers()...)
	for i, w := range o.Webhooks {
		if err := w.check(); err != nil {
			all = multierror.Append(all, fmt.Errorf("webhook %d: %w", i+1, err))
		}
	}
	return flatten(nonempty(all))
}

// checkRepository finds mistakes in the settings of one repository.
func (o Config) checkRepository() (mistakes []error) {
	if o.PasswordFile != "" && o.Username == "" {
		mistakes = append(mistakes, errors.New("password_file: needs username"))
	}
	if o.PasswordFile != "" && o.TokenFile != "" {
		mistakes = append(mistakes, errors.New("token_file and password_file exclude each other"))
	}
	if o.SSHPassphraseFile != "" && o.SSHKeyFile == "" {
		mistakes = append(mistakes, errors.New("ssh_passphrase_file: needs ssh_key_file"))
	}
	if u, err := url.Parse(o.Repo); err == nil && u.User != nil {
		if _, secret := u.User.Password(); secret {
			mistakes = append(mistakes, reconcile.WithHint(errors.New("repo: the URL holds a password"),
				"put it into a file and name that with token_file, or username and password_file"))
		}
	}
	for name := range o.Env {
		if !variableName.MatchString(name) {
			mistakes = append(mistakes, fmt.Errorf("env: %q is not a variable's name", name))
		}
	}
	return mistakes
}

func (w Webhook) check() error {
	u, err := url.Parse(w.URL)
	switch {
	case w.URL == "":
		return errors.New("url is missing")
	case err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Host == "":
		return errors.New("url is not an http or https address")
	}
	for _, kind := range w.Events {
		if !slices.Contains(append(notify.Kinds(), notify.Everything), kind) {
			return reconcile.WithHint(fmt.Errorf("events: no event is called %q", kind), "docs/json.md lists the kinds")
		}
	}
	return nil
}

// flatten is all with one mistake a line, nil when there are none.
func flatten(all *multierror.Error) error {
	if all == nil {
		return nil
	}
	if len(all.Errors) == 1 {
		return all.Errors[0]
	}
	all.ErrorFormat = func(errs []error) string {
		text := fmt.Sprintf("%d mistakes:", len(errs))
		for _, err := range errs {
			text += "\n  " + err.Error()
		}
		return text
	}
	return all
}
