package compose

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/template"
)

const (
	// maxExpansion bounds, in bytes, all text that one load's variables may turn
	// into: a few nested defaults can double at every level.
	maxExpansion = 8 << 20
	// maxNesting bounds ${A:-${B:-…}}.
	maxNesting = 50

	// A reference to a DAVIT_ variable that the revision cannot give becomes the
	// variable's name between these two characters, which no file can mean, until
	// it is known whether an image or something else asked for it.
	unsetOpen, unsetClose = "\ue000", "\ue001"
)

// expansion replaces variables in text by the rules of Compose. It is
// Compose's own syntax written again because compose-go has no way to tell an
// unset variable from an empty one, and stops at the first that is missing.
type expansion struct {
	// spent is the number of bytes produced so far.
	spent int
	// lenient makes a missing required variable empty text. Missing ones were
	// reported already; the rest of the file is to be looked at too.
	lenient bool
	// blank, if set, is told each variable that is unset and has no default.
	blank func(name string)
}

// substitute has the shape of compose-go's own Substitute.
func (e *expansion) substitute(text string, lookup template.Mapping) (string, error) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	return e.expand(text, lookup, 0)
}

// expand replaces every variable in text and returns all that went wrong.
func (e *expansion) expand(text string, lookup template.Mapping, depth int) (string, error) {
	if depth > maxNesting {
		return "", fmt.Errorf("variables are nested deeper than %d", maxNesting)
	}
	var out strings.Builder
	var errs []error
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i == len(text)-1 {
			out.WriteString(text)
			break
		}
		out.WriteString(text[:i])
		value, rest, err := e.next(text[i:], lookup, depth)
		if err != nil {
			errs = append(errs, err)
		}
		out.WriteString(value)
		if e.spent += len(value); e.spent > maxExpansion {
			return "", fmt.Errorf("variables expand to more than %d bytes", maxExpansion)
		}
		text = rest
	}
	return out.String(), errors.Join(errs...)
}

// next replaces what text, which begins with a dollar sign, begins with.
func (e *expansion) next(text string, lookup template.Mapping, depth int) (value, rest string, err error) {
	switch c := text[1]; {
	case c == '$':
		return "$", text[2:], nil
	case c == '{':
		end := closingBrace(text)
		if end < 0 {
			return "", "", fmt.Errorf("%q is not a variable: write $$ for a dollar sign", text)
		}
		value, err = e.braced(text[2:end], lookup, depth)
		return value, text[end+1:], err
	}
	n := nameLength(text[1:])
	if n == 0 {
		return "$", text[1:], nil
	}
	name := text[1 : 1+n]
	value, err = e.value(name, lookup)
	return value, text[1+n:], err
}

// braced replaces the inside of ${…}.
func (e *expansion) braced(inside string, lookup template.Mapping, depth int) (string, error) {
	n := nameLength(inside)
	name, op := inside[:n], inside[n:]
	if n == 0 {
		return "", fmt.Errorf("\"${%s}\" is not a variable: write $$ for a dollar sign", inside)
	}
	if op == "" {
		return e.value(name, lookup)
	}
	op, colon := strings.CutPrefix(op, ":")
	if op == "" || !strings.Contains("-+?", op[:1]) {
		return "", fmt.Errorf("\"${%s}\" is not a variable: write $$ for a dollar sign", inside)
	}
	value, present := lookup(name)
	present = present && (!colon || withoutUnset(value) != "")
	word := op[1:]
	switch op[0] {
	case '-':
		if present {
			return value, nil
		}
		return e.expand(word, lookup, depth+1)
	case '+':
		if !present {
			return value, nil
		}
		return e.expand(word, lookup, depth+1)
	}
	if present {
		return value, nil
	}
	if isDavit(name) {
		return e.value(name, lookup)
	}
	return e.missing(name, word, lookup, depth)
}

// missing is what happens to ${NAME:?word} when NAME is not there.
func (e *expansion) missing(name, word string, lookup template.Mapping, depth int) (string, error) {
	if e.lenient {
		return "", nil
	}
	reason, err := e.expand(word, lookup, depth+1)
	if err != nil || reason == "" {
		return "", fmt.Errorf("required variable %s is not set", name)
	}
	return "", fmt.Errorf("required variable %s is not set: %s", name, reason)
}

func (e *expansion) value(name string, lookup template.Mapping) (string, error) {
	v, ok := lookup(name)
	if !ok && isDavit(name) {
		return unsetOpen + name + unsetClose, nil
	}
	if !ok && e.blank != nil {
		e.blank(name)
	}
	return v, nil
}

// closingBrace is where the ${ that text begins with ends, or -1. As in Compose,
// the character after an opening brace is never the closing one, and a brace
// that is not balanced ends at the last one of its line.
func closingBrace(text string) int {
	open := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			open++
			i++
		case '}':
			if open--; open == 0 {
				return i
			}
		}
	}
	line, _, _ := strings.Cut(text, "\n")
	return strings.LastIndexByte(line, '}')
}

// nameLength is the length of the variable's name that s begins with.
func nameLength(s string) int {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		letter := c >= 'a' && c <= 'z' || s[i] == '_'
		digit := s[i] >= '0' && s[i] <= '9'
		if !letter && (!digit || i == 0) {
			return i
		}
	}
	return len(s)
}

// withoutUnset is text with every unset DAVIT_ variable as nothing.
func withoutUnset(text string) string {
	return replaceUnset(text, func(string) string { return "" })
}

func replaceUnset(text string, with func(name string) string) string {
	if !strings.Contains(text, unsetOpen) {
		return text
	}
	for _, name := range variableNames {
		if mark := unsetOpen + name + unsetClose; strings.Contains(text, mark) {
			text = strings.ReplaceAll(text, mark, with(name))
		}
	}
	return text
}

func isDavit(name string) bool { return slices.Contains(variableNames[:], name) }
