package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"davit/compose"
	"davit/reconcile"
)

// validateCommand checks the compose files of a directory.
type validateCommand struct {
	*console
	options *options
	output  *format
	dir     string
	source  string
}

// validation answers `davit validate -o json`.
type validation struct {
	Valid    bool      `json:"valid"`
	Stacks   []string  `json:"stacks"`
	Mistakes []mistake `json:"mistakes"`
	Notes    []mistake `json:"notes"`

	projects []*compose.Project
}

// mistake is one mistake, or a note, in one file.
type mistake struct {
	File string `json:"file"`
	// Line is 0 when it is not known.
	Line int    `json:"line"`
	Key  string `json:"key"`
	Text string `json:"text"`
}

func (m mistake) String() string {
	return (&compose.Problem{File: m.File, Line: m.Line, Key: m.Key, Err: text(m.Text)}).Error()
}

// text is an error that is only its text.
type text string

func (t text) Error() string { return string(t) }

func validateVerb(c *console) *cobra.Command {
	v := &validateCommand{console: c}
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Show every mistake in the compose files of a directory",
		Long: "Show every mistake in the compose files of a directory at once, each with its file and key.\n" +
			"Needs neither an agent nor an engine; with --engine, what that engine is too old for is a mistake,\n" +
			"too. Exit codes: 0 none, 1 some.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return v.run(cmd.Context()) },
	}
	v.options = c.configure(cmd, append(hostSettings(), pathSetting())...)
	v.output = outputFlag(cmd)
	cmd.Flags().StringVar(&v.dir, "dir", ".", "directory to check")
	cmd.Flags().StringVar(&v.source, "source", "", "the source whose place the directory takes")
	return cmd
}

func (v *validateCommand) run(ctx context.Context) error {
	config, err := v.options.load()
	if err != nil {
		return err
	}
	r, err := directoryRevision(v.dir, v.Now())
	if err != nil {
		return err
	}
	source, err := config.standIn(v.source)
	if err != nil {
		return err
	}
	found, err := inspect(ctx, stacks{config: source.Config, edged: source.Edge != "off", access: blind(source.Config)}, r)
	if err != nil {
		return err
	}
	found.windows(config.Windows)
	found.balancers(config, v.options.configured())
	if v.options.says("engine") {
		if err := found.fit(ctx, config); err != nil {
			return err
		}
	}
	if v.output.json() {
		err = printJSON(v.Out, found)
	} else {
		v.print(found)
	}
	if err == nil && !found.Valid {
		return &exit{Code: exitError}
	}
	return err
}

// blind checks files where there is a key or none: in a pipeline there is none.
func blind(config Config) compose.Secrets {
	return compose.Secrets{KeyFile: config.AgeKeyFile, Dir: config.SecretsDir, Blind: true}
}

// inspect loads every stack of r for its mistakes.
func inspect(ctx context.Context, l stacks, r reconcile.Revision) (validation, error) {
	out := validation{Stacks: []string{}, Mistakes: []mistake{}, Notes: []mistake{}}
	l, err := l.judged()
	if err != nil {
		return out, err
	}
	tree, err := compose.ReadTree(r.Dir, l.config.Path, repositoryName(r.Source))
	if err := out.add("", err); err != nil {
		return out, err
	}
	found := tree.Stacks
	for _, name := range slices.Sorted(maps.Keys(tree.Rivals)) {
		out.blame(compose.Clash(tree.Rivals[name]))
		found = append(found, tree.Rivals[name]...)
	}
	for _, s := range found {
		out.Stacks = append(out.Stacks, s.Name)
		project, err := compose.Load(ctx, s, l.options(s, r))
		if err := out.add(s.Files[0], err); err != nil {
			return out, err
		}
		if project == nil {
			continue
		}
		out.projects = append(out.projects, project)
		for _, n := range project.Notes {
			out.Notes = append(out.Notes, mistake{File: n.File, Key: n.Key, Text: n.Text})
		}
	}
	for _, p := range compose.CycleProblems(out.projects) {
		out.blame(p)
	}
	out.Valid = len(out.Mistakes) == 0
	return out, nil
}

// fit adds what the engine is too old for.
func (v *validation) fit(ctx context.Context, config Config) error {
	e, err := askedEngine(config)
	if err != nil {
		return err
	}
	defer e.Close()
	for _, p := range v.projects {
		tooNew, err := e.TooNew(ctx, p)
		if err != nil {
			return err
		}
		for _, err := range tooNew {
			v.Mistakes = append(v.Mistakes, mistake{File: p.Files[0], Text: err.Error()})
		}
	}
	v.Valid = len(v.Mistakes) == 0
	return nil
}

// add takes the mistakes that err holds. What is no mistake in a file is returned.
func (v *validation) add(file string, err error) error {
	problems := compose.Problems(err)
	if err != nil && len(problems) == 0 {
		if file == "" {
			return err
		}
		v.Mistakes = append(v.Mistakes, mistake{File: file, Text: err.Error()})
	}
	for _, p := range problems {
		v.blame(p)
	}
	return nil
}

func (v *validation) blame(p *compose.Problem) {
	v.Mistakes = append(v.Mistakes, mistake{File: p.File, Line: p.Line, Key: p.Key, Text: p.Err.Error()})
}

func (v *validateCommand) print(found validation) {
	for _, m := range found.Mistakes {
		fmt.Fprintln(v.Out, v.paint("error: ", red)+tidy(m.String()))
	}
	for _, n := range found.Notes {
		fmt.Fprintln(v.Out, v.paint("note: ", yellow)+tidy(n.String()))
	}
	switch {
	case !found.Valid:
		fmt.Fprintf(v.Out, "%d mistakes\n", len(found.Mistakes))
	case len(found.Stacks) == 0:
		fmt.Fprintln(v.Out, "no stacks found")
	default:
		fmt.Fprintf(v.Out, "%d stacks are fine\n", len(found.Stacks))
	}
}
