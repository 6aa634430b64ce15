package compose

import (
	"bytes"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

// minSensitive is the length, in bytes, from which a value can be told from
// ordinary text.
const minSensitive = 6

// sensitiveOf are the values of a stack that must not be shown: those of its
// secrets, and of every variable that could hold one.
func (l *loading) sensitiveOf(p *Project, env map[string]string) []string {
	values := map[string]bool{}
	add := func(name, value string) {
		if sensitive(name, value) {
			values[value] = true
		}
	}
	for name, value := range env {
		if !strings.HasPrefix(name, "COMPOSE_") && !isDavit(name) {
			add(name, value)
		}
	}
	for _, s := range p.Model.Services {
		for name, value := range s.Environment {
			if value != nil {
				add(name, *value)
			}
		}
	}
	for _, s := range p.Model.Secrets {
		if len(s.Content) >= minSensitive {
			values[s.Content] = true
		}
	}
	return slices.Sorted(maps.Keys(values))
}

// sensitive reports whether the value of a variable may be secret. Most variables
// hold none, and a log without any of their values could not be read.
func sensitive(name, value string) bool {
	if len(value) < minSensitive {
		return false
	}
	return secretName.MatchString(name) || !ordinary(value)
}

var (
	secretName = regexp.MustCompile(`(?i)pass|secret|token|key|cred|auth|salt|private|dsn|cookie|pwd|signature|licen[cs]e`)

	// ordinaryText is a number with a unit, a version, a word, a path, a host or an
	// image.
	ordinaryText = regexp.MustCompile(`^(?:` + strings.Join([]string{
		`[0-9.,:]+[a-zA-Z%]{0,3}`,
		`v?\d+(\.\d+)*([-+][0-9A-Za-z.]{1,12})?`,
		`[A-Za-z]{1,16}(/[A-Za-z_]{1,16})?`,
		`(/[A-Za-z0-9._-]{1,24})+/?`,
		`[a-z0-9-]{1,24}(\.[a-z0-9-]{1,24})+(:\d+)?`,
		`[a-z0-9][a-z0-9._/-]*:v?\d+(\.\d+)*[a-z0-9.-]{0,12}`,
	}, "|") + `)$`)
)

// ordinary reports whether a value is of a kind that no secret is of.
func ordinary(value string) bool {
	if ordinaryText.MatchString(value) {
		return true
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	for part := range strings.SplitSeq(strings.Trim(u.Path, "/"), "/") {
		if part != "" && !ordinaryText.MatchString(part) {
			return false
		}
	}
	return true
}

// valuesOf are the values in a file of variables.
func valuesOf(data []byte) []string {
	vars := map[string]string{}
	unset := func(string) (string, bool) { return "", false }
	// What cannot be parsed is reported by whoever loads the file.
	_ = dotenv.ParseWithFormat(bytes.NewReader(data), "", vars, unset, dotenv.DotEnv)
	return slices.Sorted(maps.Values(vars))
}
