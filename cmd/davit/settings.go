package main

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"davit/gitsource"
)

// setting is one thing that can be set: as a key of the file, as a flag with
// dashes, and as a variable in capitals after DAVIT_.
type setting struct {
	key   string
	usage string
	// kind is the value's form, as help shows it; "" for a switch.
	kind string
	// path is set for names of files: in the configuration file they are relative
	// to it.
	path bool
	// many is set where a flag can be repeated and a variable has several lines.
	many bool
	// repository is set where the setting concerns one repository, so that each
	// source has its own.
	repository bool
	// set parses one value into the configuration.
	set func(o *Config, value string) error
	// clear empties a setting that many fill, and selectors, which exclude each
	// other.
	clear func(o *Config)
}

func (s setting) flag() string     { return strings.ReplaceAll(s.key, "_", "-") }
func (s setting) variable() string { return "DAVIT_" + strings.ToUpper(s.key) }

// selector reports whether s chooses the revision: only one such setting counts.
func (s setting) selector() bool { return s.clear != nil && !s.many }

// Settings fall into three groups, so that a command offers only what it reads.

func everySetting() []setting {
	return append(append(commonSettings(), hostSettings()...), agentSettings()...)
}

// commonSettings are flags of every command.
func commonSettings() []setting {
	return []setting{
		textSetting("data", "directory of everything davit keeps (default /var/lib/davit for root, else $XDG_STATE_HOME/davit)", "DIR",
			func(o *Config) *string { return &o.Data }).asPath(),
		choiceSetting("log_format", "text (the default) or json", []string{"text", "json"}, func(o *Config) *string { return &o.LogFormat }),
		{key: "log_level", usage: "debug, info (the default), warn or error", kind: "LEVEL", set: func(o *Config, v string) error {
			o.LogLevel = v
			return new(slog.LevelVar).UnmarshalText([]byte(v))
		}},
	}
}

// hostSettings say how this host runs what is declared.
func hostSettings() []setting {
	return []setting{
		engineSetting(),
		textSetting("docker_config", "directory of Docker's config.json with registry credentials (default $DOCKER_CONFIG, else ~/.docker)", "DIR",
			func(o *Config) *string { return &o.DockerConfig }).asPath(),
		{key: "insecure_registry", usage: "registry, host or host:port, that may be spoken to over plain http", kind: "HOST", many: true,
			set: func(o *Config, v string) error {
				o.InsecureRegistries = append(o.InsecureRegistries, v)
				return nil
			}, clear: func(o *Config) { o.InsecureRegistries = nil }},
		{key: "env", usage: "variable for interpolation in every stack, NAME=VALUE", kind: "NAME=VALUE", many: true, repository: true,
			set: setVariable, clear: func(o *Config) { o.Env = nil }},
		textSetting("env_dir", "directory of STACK.env files with variables that must not be in Git", "DIR",
			func(o *Config) *string { return &o.EnvDir }).asPath().ofRepository(),
		textSetting("age_key_file", "file with the age identities, or the SSH key, that open what the repository holds encrypted", "FILE",
			func(o *Config) *string { return &o.AgeKeyFile }).asPath(),
		textSetting("secrets_dir", "directory in memory for decrypted secrets (default /run/davit for root, else $XDG_RUNTIME_DIR/davit)", "DIR",
			func(o *Config) *string { return &o.SecretsDir }).asPath(),
		windowSetting(),
		textSetting("policy", "file of what stacks may ask of this host (default: the permissive preset)", "FILE", func(o *Config) *string { return &o.Policy }).asPath(),
		choiceSetting("adopt", "which running projects are taken over unasked: identical, all or none (default identical)",
			[]string{"identical", "all", "none"}, func(o *Config) *string { return &o.Adopt }),
		choiceSetting("edge", "who has the host ports of services that are replaced without a gap: always an edge (on), always Docker (off), an edge where one runs or davit run in a terminal starts it (auto, the default)",
			edgeWords(), func(o *Config) *string { return &o.Edge }),
		choiceSetting("mode", "observe plans and reports and never acts (default run)", []string{"run", "observe"},
			func(o *Config) *string { return &o.Mode }),
		{key: "keep_releases", usage: "how many good releases keep their images and files (default 3)", kind: "N", set: func(o *Config, v string) (err error) {
			if o.KeepReleases, err = strconv.Atoi(v); err != nil || o.KeepReleases < 1 {
				return fmt.Errorf("%q is not a number from 1", v)
			}
			return nil
		}},
		{key: "parallel", usage: "how many stacks are worked on at once (default 8)", kind: "N", set: func(o *Config, v string) (err error) {
			if o.Parallel, err = strconv.Atoi(v); err != nil || o.Parallel < 1 || o.Parallel > 1000 {
				return fmt.Errorf("%q is not a number from 1 to 1000", v)
			}
			return nil
		}},
	}
}

func engineSetting() setting {
	return textSetting("engine", "the container engine's address (default $DOCKER_HOST, else unix:///var/run/docker.sock)", "HOST",
		func(o *Config) *string { return &o.Engine })
}

// agentSettings say which repository the agent follows and whom it tells.
func agentSettings() []setting {
	webhook := setting{key: "webhook", usage: "receiver of events: url=URL[,name=NAME][,secret_file=FILE][,events=KIND|KIND]", kind: "SPEC", many: true,
		set: setWebhook, clear: func(o *Config) { o.Webhooks = nil }}
	return append(repositorySettings(), webhook)
}

// repositorySettings say which repository is followed, and how.
func repositorySettings() []setting {
	all := append([]setting{
		textSetting("repo", "repository: https://, http://, ssh://, host:path or a directory", "URL", func(o *Config) *string { return &o.Repo }),
		selectorSetting("branch", "follow a branch (default: the repository's default branch)", "NAME", func(o *Config) *string { return &o.Branch }),
		selectorSetting("tag", "follow one tag", "NAME", func(o *Config) *string { return &o.Tag }),
		selectorSetting("semver", "follow the highest tag in a range such as \">=1.0 <3\"", "RANGE", func(o *Config) *string { return &o.Semver }),
		selectorSetting("commit", "stay at a commit, given in full", "SHA", func(o *Config) *string { return &o.Commit }),
		textSetting("tag_prefix", "what version tags begin with, such as web/ for web/v1.2.3", "PREFIX", func(o *Config) *string { return &o.TagPrefix }),
		{key: "prerelease", usage: "let pre-releases match --semver", set: func(o *Config, v string) (err error) {
			o.Prerelease, err = parseSwitch(v)
			return err
		}},
		pathSetting(),
		{key: "interval", usage: "time between polls (default 30s), or a cron expression", kind: "TIME|CRON", set: func(o *Config, v string) error {
			o.Interval = v
			_, err := gitsource.ParseSchedule(v)
			return err
		}},
	}, credentialSettings()...)
	for i := range all {
		all[i].repository = true
	}
	return all
}

func pathSetting() setting {
	return textSetting("path", "directory in the repository that is searched for stacks (default: all of it)", "DIR", func(o *Config) *string { return &o.Path }).ofRepository()
}

// credentialSettings name the files that let the agent into the repository.
func credentialSettings() []setting {
	file := func(key, usage string, to func(*Config) *string) setting {
		return textSetting(key, usage, "FILE", to).asPath()
	}
	return []setting{
		file("token_file", "file with an access token for https", func(o *Config) *string { return &o.TokenFile }),
		textSetting("username", "user name that goes with the token or password (default x-access-token with a token)", "NAME", func(o *Config) *string { return &o.Username }),
		file("password_file", "file with a password", func(o *Config) *string { return &o.PasswordFile }),
		file("ssh_key_file", "file with an SSH private key", func(o *Config) *string { return &o.SSHKeyFile }),
		file("ssh_passphrase_file", "file with the key's passphrase", func(o *Config) *string { return &o.SSHPassphraseFile }),
		file("known_hosts_file", "file with the SSH servers' keys; required for SSH", func(o *Config) *string { return &o.KnownHostsFile }),
		file("ca_file", "file with certificates to trust for https besides the system's", func(o *Config) *string { return &o.CAFile }),
	}
}

func textSetting(key, usage, kind string, to func(*Config) *string) setting {
	return setting{key: key, usage: usage, kind: kind, set: func(o *Config, v string) error {
		*to(o) = v
		return nil
	}}
}

func selectorSetting(key, usage, kind string, to func(*Config) *string) setting {
	s := textSetting(key, usage, kind, to)
	s.clear = func(o *Config) { *to(o) = "" }
	return s
}

func choiceSetting(key, usage string, words []string, to func(*Config) *string) setting {
	return setting{key: key, usage: usage, kind: strings.Join(words, "|"), set: func(o *Config, v string) error {
		for _, w := range words {
			if v == w {
				*to(o) = v
				return nil
			}
		}
		return fmt.Errorf("%q is none of %s", v, strings.Join(words, ", "))
	}}
}

// ofRepository marks a setting that concerns one repository.
func (s setting) ofRepository() setting {
	s.repository = true
	return s
}

func (s setting) asPath() setting {
	s.path = true
	return s
}

func parseSwitch(v string) (bool, error) {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, fmt.Errorf("%q is neither true nor false", v)
	}
	return b, nil
}

func setVariable(o *Config, v string) error {
	name, value, ok := strings.Cut(v, "=")
	if !ok {
		return fmt.Errorf("%q is not NAME=VALUE", v)
	}
	if o.Env == nil {
		o.Env = map[string]string{}
	}
	o.Env[name] = value
	return nil
}

func setWebhook(o *Config, v string) error {
	var w Webhook
	for part := range strings.SplitSeq(v, ",") {
		key, value, ok := strings.Cut(part, "=")
		switch {
		case ok && key == "name":
			w.Name = value
		case ok && key == "url":
			w.URL = value
		case ok && key == "secret_file":
			w.SecretFile = value
		case ok && key == "events":
			w.Events = strings.Split(value, "|")
		default:
			return fmt.Errorf("%q is none of url=, name=, secret_file= and events=", key)
		}
	}
	o.Webhooks = append(o.Webhooks, w)
	return nil
}
