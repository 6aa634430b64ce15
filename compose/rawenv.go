package compose

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"unicode"

	"github.com/compose-spec/compose-go/v2/types"
)

// rawFormat is the format of an env_file whose values are taken as they are.
const rawFormat = "raw"

// parseRaw reads variables as `docker run --env-file` does: no quotes, no
// references, comments on lines of their own. A name alone takes its value from
// the variables above.
func parseRaw(f envFile, above types.Mapping, vars map[string]string) *Problem {
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(f.data, []byte("\ufeff"))))
	lines.Buffer(nil, maxEnvFile)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimLeftFunc(lines.Text(), unicode.IsSpace)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		switch {
		case name == "":
			return &Problem{File: f.name, Line: number, Err: errors.New("a value without a name")}
		case strings.ContainsFunc(name, unicode.IsSpace):
			return &Problem{File: f.name, Line: number, Err: errors.New("a name with a space in it")}
		case ok:
			vars[name] = value
		default:
			if value, ok := above[name]; ok {
				vars[name] = value
			}
		}
	}
	if err := lines.Err(); err != nil {
		return &Problem{File: f.name, Err: err}
	}
	return nil
}
