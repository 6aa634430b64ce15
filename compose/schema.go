package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// specification is Compose's own JSON schema. compose-go holds it too but tells
// only the first of its violations.
var specification = sync.OnceValues(func() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema.Schema))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("compose-spec.json", doc); err != nil {
		return nil, err
	}
	compiler.RegisterFormat(&jsonschema.Format{Name: "duration", Validate: func(v any) error {
		_, err := time.ParseDuration(fmt.Sprint(v))
		return err
	}})
	return compiler.Compile("compose-spec.json")
})

// violations calls report with every violation of the schema.
func violations(value map[string]any, report func(key string, err error)) {
	spec, err := specification()
	if err != nil {
		report("", fmt.Errorf("compile Compose's schema: %w", err))
		return
	}
	plain, err := json.Marshal(value)
	if err != nil {
		report("", fmt.Errorf("read as JSON: %w", err))
		return
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(plain)))
	if err != nil {
		report("", fmt.Errorf("read as JSON: %w", err))
		return
	}
	var invalid *jsonschema.ValidationError
	if errors.As(spec.Validate(doc), &invalid) {
		leaves(invalid, report)
	}
}

// leaves reports the causes of e that have no cause themselves. Of alternatives
// that all failed it reports only the one that came closest.
func leaves(e *jsonschema.ValidationError, report func(key string, err error)) {
	if len(e.Causes) == 0 {
		violation(e, report)
		return
	}
	switch e.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf:
		leaves(closest(e.Causes), report)
		return
	}
	for _, cause := range e.Causes {
		leaves(cause, report)
	}
}

func closest(causes []*jsonschema.ValidationError) *jsonschema.ValidationError {
	return slices.MaxFunc(causes, func(a, b *jsonschema.ValidationError) int { return depth(a) - depth(b) })
}

// depth is how far into the file an alternative matched.
func depth(e *jsonschema.ValidationError) int {
	d := 2 * len(e.InstanceLocation)
	if _, ok := e.ErrorKind.(*kind.AdditionalProperties); ok {
		d++
	}
	for _, cause := range e.Causes {
		d = max(d, depth(cause))
	}
	return d
}

func violation(e *jsonschema.ValidationError, report func(key string, err error)) {
	key := ""
	for _, part := range e.InstanceLocation {
		if _, err := strconv.Atoi(part); err == nil && key != "" {
			key += "[" + part + "]"
			continue
		}
		key = join(key, part)
	}
	if extra, ok := e.ErrorKind.(*kind.AdditionalProperties); ok {
		for _, name := range extra.Properties {
			report(join(key, name), errors.New("unknown key"))
		}
		return
	}
	if _, ok := e.ErrorKind.(*kind.FalseSchema); ok {
		// Any other mistake in a mapping makes its good keys fail like this too.
		if !knownAttributes().has(e.InstanceLocation) {
			report(key, errors.New("unknown key"))
		}
		return
	}
	if wrong, ok := e.ErrorKind.(*kind.Type); ok {
		want := slices.Clone(wrong.Want)
		slices.Sort(want)
		report(key, fmt.Errorf("must be %s, not %s", strings.ReplaceAll(strings.Join(want, " or "), "object", "mapping"), wrong.Got))
		return
	}
	report(key, errors.New(e.ErrorKind.LocalizedString(message.NewPrinter(language.English))))
}
