package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"davit/traffic"
	"davit/web"
)

// version is set by the linker for a release.
var version string

// versions answers `davit version -o json`.
type versions struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	// Agent is null when none is running.
	Agent *string `json:"agent"`
	// Edge is so, too.
	Edge *string `json:"edge"`
}

// programVersion is what the linker was told, else what Go knows of the build.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func programCommit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

func versionVerb(c *console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version of this program, of the running agent and of the edge",
		Args:  cobra.NoArgs,
	}
	options := c.configure(cmd)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, err := options.load()
		if err != nil {
			return err
		}
		v, err := c.versions(cmd.Context(), config)
		if err != nil {
			return err
		}
		if output.json() {
			return printJSON(c.Out, v)
		}
		fmt.Fprintf(c.Out, "davit %s %s %s\n", v.Version, v.Commit, v.Go)
		if v.Agent != nil {
			fmt.Fprintf(c.Out, "agent %s\n", *v.Agent)
		}
		if v.Edge != nil {
			fmt.Fprintf(c.Out, "edge %s\n", *v.Edge)
		}
		return nil
	}
	return cmd
}

func (c *console) versions(ctx context.Context, config Config) (versions, error) {
	v := versions{Version: programVersion(), Commit: programCommit(), Go: runtime.Version()}
	v.Edge = edgeVersion(ctx, config)
	client := c.client(config)
	defer client.Close()
	health, err := client.Health(ctx)
	if errors.Is(err, web.ErrNoAgent) {
		return v, nil
	}
	v.Agent = &health.Version
	return v, err
}

// edgeVersion is that of the edge, nil where none answers.
func edgeVersion(ctx context.Context, config Config) *string {
	client := traffic.NewClient(traffic.Socket(config.Data))
	defer client.Close()
	v, err := client.Versions(ctx)
	if err != nil {
		return nil // doctor says why
	}
	return &v.Program
}
