package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
)

// maxEnvironment bounds, in bytes, what the references between the variables of
// one file may expand to.
const maxEnvironment = 1 << 20

// layers are the places that variables come from; the later wins.
type layers struct {
	// dotEnv is the stack's .env file, relative to the root. It need not exist.
	dotEnv string
	// listed are the files that the list of stacks names, relative to the root.
	listed []string
	// source is the source's own variables.
	source map[string]string
	// host is a file on the host, "" for none. It need not exist.
	host string
	// revision is DAVIT_*.
	revision Variables
}

// environment is the variables of one stack. The process's own environment is
// no part of it.
func environment(x *export, l layers, ps *problems) types.Mapping {
	davit := l.revision.mapping()
	env := types.Mapping{}
	for i, file := range append([]string{l.dotEnv}, l.listed...) {
		if data, err := x.readEnv(file); err == nil {
			above := types.Mapping{}
			maps.Copy(above, l.source)
			maps.Copy(above, hostVariables(x, l, nil))
			maps.Copy(above, davit)
			maps.Copy(env, variables(envFile{name: file, data: data, below: env}, above, ps))
		} else if i > 0 || !errors.Is(err, fs.ErrNotExist) {
			ps.add(&Problem{File: file, Err: err})
		}
	}
	maps.Copy(env, l.source)
	maps.Copy(env, hostVariables(x, l, ps))
	if _, ok := env["COMPOSE_FILE"]; ok {
		// Compose would load other files than those that were found.
		ps.add(&Problem{File: l.dotEnv, Key: "COMPOSE_FILE", Err: errUnsupported})
	}
	for _, name := range variableNames {
		delete(env, name)
	}
	maps.Copy(env, davit)
	return env
}

// hostVariables reads the file on the host. Problems are reported to ps unless
// it is nil.
func hostVariables(x *export, l layers, ps *problems) map[string]string {
	if l.host == "" {
		return nil
	}
	if ps == nil {
		ps = &problems{}
	}
	data, err := x.secrets.reveal(x.readHostFile(l.host))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		ps.add(&Problem{File: l.host, Err: err})
		return nil
	}
	x.davit = x.davit || mentionsDavit(data)
	above := types.Mapping{}
	maps.Copy(above, l.source)
	maps.Copy(above, l.revision.mapping())
	vars := variables(envFile{name: l.host, data: data}, above, ps)
	x.secrets.learn(slices.Collect(maps.Values(vars))...)
	return vars
}

// readHostFile reads a file of variables beside the repository. One that others
// may write to would let them choose what is deployed.
func (x *export) readHostFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, plain(err)
	}
	switch mode := info.Mode().Perm(); {
	case mode&0o022 != 0:
		return nil, errors.New("can be written by others than its owner, who could choose what runs here: chmod 600 it")
	case mode&0o004 != 0:
		x.note(name, "can be read by every user of this host: chmod 600 it if it holds secrets")
	}
	return readRegular(f, maxEnvFile)
}

type envFile struct {
	name string
	data []byte
	// below is what files before it say.
	below map[string]string
}

// variables parses one file of variables. Text that refers to a DAVIT_ variable
// that is unset keeps a mark of it, so that an image built from it waits.
func variables(f envFile, above types.Mapping, ps *problems) map[string]string {
	vars := map[string]string{}
	problem := parseEnv(f, above, vars, false)
	if mentionsDavit(f.data) {
		marked := map[string]string{}
		problem = parseEnv(f, above, marked, true)
		for name, value := range marked {
			if plainly, ok := vars[name]; !ok || withoutUnset(value) == plainly {
				vars[name] = value
			}
		}
	}
	if problem != nil {
		ps.add(problem)
	}
	return vars
}

// parseEnv adds the variables of f to vars. With marked, an unset DAVIT_
// variable is its mark instead of nothing.
func parseEnv(f envFile, above types.Mapping, vars map[string]string, marked bool) *Problem {
	spent := 0
	lookup := func(name string) (string, bool) {
		v, ok := above[name]
		switch {
		case ok:
		case isDavit(name):
			v, ok = unsetOpen+name+unsetClose, marked
		default:
			if v, ok = vars[name]; !ok {
				v, ok = f.below[name]
			}
		}
		if spent += len(v); spent > maxEnvironment {
			return "", true
		}
		return v, ok
	}
	err := dotenv.ParseWithFormat(bytes.NewReader(f.data), f.name, vars, lookup, dotenv.DotEnv)
	switch {
	case spent > maxEnvironment:
		return &Problem{File: f.name, Err: fmt.Errorf("variables expand to more than %d bytes", maxEnvironment)}
	case err != nil:
		return envProblem(f.name, err)
	}
	return nil
}

// envProblem is an error of the parser without the text that it quotes: that is
// as likely as not a secret.
func envProblem(file string, err error) *Problem {
	p := &Problem{File: file}
	if m := regexp.MustCompile(`line (\d+):`).FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
	}
	var missing *template.MissingRequiredError
	switch {
	case errors.As(err, &missing):
		p.Err = fmt.Errorf("required variable %s is not set", missing.Variable)
	case strings.Contains(err.Error(), "unterminated"):
		p.Err = errors.New("a quoted value does not end")
	case strings.Contains(err.Error(), "unexpected character"), strings.Contains(err.Error(), "key cannot"):
		p.Err = errors.New("a line is no NAME=value")
	default:
		p.Err = errors.New("a value has a dollar sign that begins no variable: write $$ for one")
	}
	return p
}

func dotEnvOf(dir string) string { return path.Join(dir, ".env") }
