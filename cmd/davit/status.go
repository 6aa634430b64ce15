package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"davit/reconcile"
	"davit/web"
)

// statusCommand shows how every stack stands.
type statusCommand struct {
	*console
	options *options
	output  *format
	check   bool
}

func statusVerb(c *console) *cobra.Command {
	s := &statusCommand{console: c}
	cmd := &cobra.Command{
		Use:   "status [STACK]",
		Short: "Show how every stack stands",
		Long: "Show how every stack stands against its source and how well it runs.\n" +
			"Without an agent it is worked out from the records and one look at the engine.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd.Context(), args) },
	}
	s.options = c.configure(cmd, append(hostSettings(), pathSetting())...)
	s.output = outputFlag(cmd)
	cmd.Flags().BoolVar(&s.check, "check", false, "exit 0 only when everything is synced and healthy, else 1")
	return cmd
}

func (s *statusCommand) run(ctx context.Context, args []string) error {
	config, err := s.options.load()
	if err != nil {
		return err
	}
	status, err := s.read(ctx, config)
	if err != nil {
		return err
	}
	if len(args) == 1 {
		status.Stacks = slices.DeleteFunc(status.Stacks, func(k reconcile.StackStatus) bool { return k.Name != args[0] })
		if len(status.Stacks) == 0 {
			return web.NotFound(args[0])
		}
	}
	if s.output.json() {
		err = printJSON(s.Out, status)
	} else {
		s.print(status, len(args) == 1)
	}
	if err == nil && s.check && !settledWell(status) {
		return &exit{Code: exitError}
	}
	return err
}

// settledWell reports whether everything is synced and healthy, and the edge, where there
// is one, answers. A source that was never read has said nothing yet, so nothing is well.
func settledWell(status web.Status) bool {
	if status.Edge != nil && status.Edge.Away != "" {
		return false
	}
	for _, k := range status.Stacks {
		if k.Sync != reconcile.SyncSynced || k.Health != reconcile.ConditionHealthy {
			return false
		}
	}
	read := 0
	for _, source := range status.Sources {
		switch {
		case source.LastFetch != nil:
			read++
		case source.Revision == "" && len(status.Sources) > 1:
			return false
		}
	}
	return len(status.Stacks) > 0 || read > 0 && read == len(status.Sources)
}

func (s *statusCommand) print(status web.Status, detailed bool) {
	several := len(status.Sources) > 1
	if several && !detailed {
		s.sources(status.Sources)
		fmt.Fprintln(s.Out)
	}
	errs := map[string]string{}
	for _, source := range status.Sources {
		errs[source.Name] = source.LastError
		if source.LastError != "" && !several {
			fmt.Fprintln(s.Out, s.paint("source: ", red)+tidy(source.LastError))
		}
	}
	s.edge(status.Edge)
	if len(status.Stacks) == 0 {
		fmt.Fprintln(s.Out, "no stacks")
		return
	}
	heads := []string{"STACK", "VERSION", "REVISION", "SYNC", "HEALTH", "READY", "SINCE"}
	if several {
		heads = append(heads, "SOURCE")
	}
	t := s.table(heads...)
	for _, k := range status.Stacks {
		t.row(s.row(k, several)...)
		t.note("waiting for", k.WaitingFor)
		if k.Drill != nil {
			t.note("drill", k.Drill.Phase+s.elapsed(k.Drill.Since))
		}
		if detailed {
			t.note("recovery", k.Recovery.String())
		}
		if k.LastError != errs[k.Source] {
			t.note("error", k.LastError)
		}
		for _, trouble := range portTroubles(k) {
			t.note("port", trouble)
		}
		for _, service := range k.Services {
			if service.Rollout != nil {
				t.note(service.Name, service.Rollout.String()+s.elapsed(service.Rollout.Since))
			}
			if h := service.Healing; h != nil && h.GivenUp == nil {
				t.note("healed", h.String())
			}
			for _, e := range service.Ejected {
				t.note("passed over", e.Replica+": "+e.Reason)
			}
		}
	}
	t.print()
	if detailed {
		fmt.Fprintln(s.Out)
		s.services(status.Stacks[0])
	}
}

// elapsed is since when something is so, for the end of a line.
func (s *statusCommand) elapsed(since time.Time) string {
	if since.IsZero() {
		return ""
	}
	return ", for " + ago(s.Now(), since)
}

func (s *statusCommand) row(k reconcile.StackStatus, several bool) []cell {
	ready, desired := 0, 0
	for _, service := range k.Services {
		ready, desired = ready+service.Ready, desired+service.Desired
	}
	cells := []cell{{k.Name, bold}, plain(k.Version), plain(shortRevision(k.Revision)), {string(k.Sync), syncColour(k.Sync)},
		{string(k.Health), healthColour(k.Health)}, plain(fmt.Sprintf("%d/%d", ready, desired)), plain(ago(s.Now(), k.Since))}
	if several {
		cells = append(cells, plain(k.Source))
	}
	return cells
}

// sources shows where revisions come from, and whether they do.
func (s *statusCommand) sources(all []web.SourceStatus) {
	t := s.table("SOURCE", "VERSION", "REVISION", "READ", "REPOSITORY")
	for _, source := range all {
		read := plain("never")
		if source.LastFetch != nil {
			read = plain(ago(s.Now(), *source.LastFetch))
		}
		if source.LastError != "" {
			read.colour = red
		}
		t.row(cell{source.Name, bold}, plain(source.Version), plain(shortRevision(source.Revision)), read, plain(source.Source))
		t.note("error", source.LastError)
	}
	t.print()
}

func (s *statusCommand) services(k reconcile.StackStatus) {
	t := s.table("SERVICE", "READY", "IMAGE", "PORTS", "CONTAINERS")
	for _, service := range k.Services {
		short := make([]string, len(service.Containers))
		for i, id := range service.Containers {
			short[i] = id[:min(12, len(id))]
		}
		t.row(plain(service.Name), plain(fmt.Sprintf("%d/%d", service.Ready, service.Desired)),
			plain(service.Image), plain(portOwners(service.Ports)), plain(strings.Join(short, " ")))
		if service.Standby > 0 {
			t.note("standby", fmt.Sprintf("%d containers of the release before run on", service.Standby))
		}
		for _, d := range service.Draining {
			t.note("draining", fmt.Sprintf("%s for %s: %d requests, %d streams, cut in %s", d.Replica, ago(s.Now(), d.Since),
				d.Requests, d.Streams, max(0, d.Until.Sub(s.Now())).Round(time.Second)))
		}
	}
	t.print()
}

// edge says what is wrong with the edge, if anything is.
func (s *statusCommand) edge(e *reconcile.EdgeStatus) {
	switch {
	case e == nil:
	case e.Away != "":
		fmt.Fprintln(s.Out, s.paint("edge: ", red)+"away, and nobody answers at its ports: "+tidy(e.Away)+"; see `davit doctor`")
	case e.Blind != "":
		fmt.Fprintln(s.Out, s.paint("edge: ", yellow)+"it cannot look at the engine: "+tidy(e.Blind))
	}
}

// portTroubles are the ports of a stack at which nobody answers.
func portTroubles(k reconcile.StackStatus) []string {
	var out []string
	for _, service := range k.Services {
		for _, p := range service.Ports {
			if p.Trouble != "" {
				out = append(out, fmt.Sprintf("%s of %s: %s", p.Port, service.Name, p.Trouble))
			}
		}
	}
	return out
}

// portOwners is "80 edge, 53/udp docker".
func portOwners(ports []reconcile.PortStatus) string {
	var out []string
	for _, p := range ports {
		out = append(out, p.Port+" "+cmp.Or(p.Owner, "nobody"))
	}
	return strings.Join(out, ", ")
}

func syncColour(s reconcile.Sync) colour {
	switch s {
	case reconcile.SyncSynced:
		return green
	case reconcile.SyncHeld, reconcile.SyncStalled:
		return red
	}
	return yellow
}

func healthColour(h reconcile.Condition) colour {
	switch h {
	case reconcile.ConditionHealthy:
		return green
	case reconcile.ConditionUnhealthy, reconcile.ConditionDegraded:
		return red
	}
	return yellow
}
