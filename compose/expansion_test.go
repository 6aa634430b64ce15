package compose

import (
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/template"
)

func lookupIn(env map[string]string) template.Mapping {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestVariables(t *testing.T) {
	env := map[string]string{"SET": "s", "EMPTY": "", "DAVIT_TAG": "v1"}
	unset := unsetOpen + "DAVIT_VERSION" + unsetClose
	for name, c := range map[string]struct{ in, want, err string }{
		"plain and braced":                       {"$SET-${SET}", "s-s", ""},
		"two dollar signs are one":               {"$$SET ${SET}$$", "$SET s$", ""},
		"a dollar sign before anything else":     {"5$ $1 $", "5$ $1 $", ""},
		"unset is empty":                         {"a${NOPE}b", "ab", ""},
		"a default for unset":                    {"${NOPE-d} ${EMPTY-d}", "d ", ""},
		"a default for unset and empty":          {"${NOPE:-d} ${EMPTY:-d} ${SET:-d}", "d d s", ""},
		"an alternative":                         {"${SET+a} ${EMPTY:+a} ${NOPE+a}", "a  ", ""},
		"a default in a default":                 {"${NOPE:-${NOPE:-${SET}}}!", "s!", ""},
		"a required one that is there":           {"${SET:?x}", "s", ""},
		"a required one that is missing":         {"${NOPE:?say ${SET}}", "", "required variable NOPE is not set: say s"},
		"all that are missing":                   {"${NOPE?}${NADA?}", "", "required variable NOPE is not set\nrequired variable NADA is not set"},
		"no variable at all":                     {"${}", "", `"${}" is not a variable`},
		"a brace that is not closed":             {"${SET", "", `"${SET" is not a variable`},
		"a revision's variable that is set":      {"${DAVIT_TAG}", "v1", ""},
		"a revision's variable that is unset":    {"x${DAVIT_VERSION}", "x" + unset, ""},
		"an unset one that is required":          {"${DAVIT_VERSION:?no tag}", unset, ""},
		"an unset one with a default needs none": {"${DAVIT_VERSION:-latest}", "latest", ""},
		"an unset one in a default":              {"${NOPE:-${DAVIT_VERSION}}", unset, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := expansion{}
			got, err := e.substitute(c.in, lookupIn(env))
			if c.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.err) {
					t.Fatalf("error %v, want %s", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Fatalf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestVariablesThatMultiplyAreStopped(t *testing.T) {
	env := map[string]string{"BIG": strings.Repeat("x", 64<<10)}
	e := expansion{}
	if _, err := e.substitute(strings.Repeat("$BIG", 1000), lookupIn(env)); err == nil {
		t.Fatal("64 MB of text were accepted")
	}
	if _, err := e.substitute(strings.Repeat("${A:-", 5000)+strings.Repeat("}", 5000), lookupIn(nil)); err == nil {
		t.Fatal("5000 nested defaults were accepted")
	}
}

// Whatever Compose replaces without an error is replaced in the same way here.
func FuzzVariablesAreReplacedAsComposeDoes(f *testing.F) {
	for _, seed := range []string{
		"$SET", "${SET}", "${NOPE:-d}", "${NOPE-${SET}}x${EMPTY:+y}", "$$", "$1", "${SET:?a}b}", "a}${SET:-{b}}", "${NOPE:-{}}", "$SET${", "${SET:-a{b}", "${S+00{}}}",
	} {
		f.Add(seed)
	}
	env := lookupIn(map[string]string{"SET": "s", "EMPTY": ""})
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "DAVIT_") || strings.Contains(text, "\n") {
			return
		}
		want, err := template.Substitute(text, env)
		if err != nil {
			return
		}
		e := expansion{}
		got, err := e.substitute(text, env)
		if err != nil {
			t.Fatalf("%q: %v, Compose says %q", text, err, want)
		}
		if got != want {
			t.Fatalf("%q: %q, Compose says %q", text, got, want)
		}
	})
}
