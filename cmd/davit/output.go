package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// format is the value of -o.
type format string

func (f *format) Set(v string) error {
	if v != "text" && v != "json" {
		return fmt.Errorf("%q is neither text nor json", v)
	}
	*f = format(v)
	return nil
}

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "text|json" }

func (f *format) json() bool { return *f == "json" }

// outputFlag gives cmd the flag -o.
func outputFlag(cmd *cobra.Command) *format {
	f := format("text")
	cmd.Flags().VarP(&f, "output", "o", "output format")
	return &f
}

// printJSON writes value with two spaces of indentation.
func printJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// colour is a terminal's escape sequence.
type colour string

const (
	noColour colour = ""
	bold     colour = "1"
	red      colour = "31"
	green    colour = "32"
	yellow   colour = "33"
	dim      colour = "2"
)

// cell is one field of a table.
type cell struct {
	text   string
	colour colour
}

// table is aligned text. Notes are lines below a row.
type table struct {
	console *console
	rows    [][]cell
	notes   map[int][]string
}

func (c *console) table(heading ...string) *table {
	t := &table{console: c, notes: map[int][]string{}}
	row := make([]cell, len(heading))
	for i, h := range heading {
		row[i] = cell{h, bold}
	}
	t.rows = append(t.rows, row)
	return t
}

func (t *table) row(cells ...cell) { t.rows = append(t.rows, cells) }

// note puts a line below the last row; an empty one is left out.
func (t *table) note(label, text string) {
	if text != "" {
		i := len(t.rows) - 1
		t.notes[i] = append(t.notes[i], label+": "+tidy(text))
	}
}

func (t *table) print() {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(inline(c.text)))
		}
	}
	for n, row := range t.rows {
		var b strings.Builder
		for i, c := range row {
			text := inline(c.text)
			b.WriteString(t.console.paint(text, c.colour))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2))
			}
		}
		fmt.Fprintln(t.console.Out, strings.TrimRight(b.String(), " "))
		for _, note := range t.notes[n] {
			fmt.Fprintln(t.console.Out, "  "+strings.ReplaceAll(note, "\n", "\n    "))
		}
	}
}

func (c *console) paint(text string, k colour) string {
	if !c.Colour || k == noColour || text == "" {
		return text
	}
	return "\x1b[" + string(k) + "m" + text + "\x1b[0m"
}

// plain is a cell without colour.
func plain(text string) cell { return cell{text: text} }

// inline is text on one line; "-" when there is none.
func inline(text string) string {
	text = strings.Join(strings.Fields(tidy(text)), " ")
	if text == "" {
		return "-"
	}
	return text
}

// tidy takes control characters out: text from containers and commits must not
// steer the reader's terminal.
func tidy(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.IsControl(r) {
			return r
		}
		return utf8.RuneError
	}, text)
}

// shortRevision is "main@sha1:9d10e44…" with seven digits.
func shortRevision(revision string) string {
	ref, commit, ok := strings.Cut(revision, "sha1:")
	if !ok || len(commit) <= 7 {
		return revision
	}
	return ref + "sha1:" + commit[:7]
}

// ago is how long t is past, in one unit.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := now.Sub(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
