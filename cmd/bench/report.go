package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is every figure of one run.
type report struct {
	size
	begun time.Time
	// load is the load average before and after.
	load [2]string
	// bare is how long the same containers take by direct calls.
	bare []time.Duration
	// first is until the last container of the first deploy ran, synced until all
	// of it was on record.
	first, synced  time.Duration
	idle           idleness
	changes, swaps []change
	pass           passing
	replacements   []replacement
	reverts        []reversion
}

// String is the report in Markdown.
func (r report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d CPUs, %s, load average %s before and %s after.\n\n", r.begun.UTC().Format("2006-01-02 15:04 UTC"),
		runtime.NumCPU(), memory(), r.load[0], r.load[1])
	row := func(format string, args ...any) { fmt.Fprintf(&b, "| "+format+" |\n", args...) }
	row("what | davit | direct calls | ratio")
	row("--- | --- | --- | ---")
	base := slices.Min(r.bare)
	row("first deploy of %d stacks of %d services, until the last container runs | %s | %s | %.2f",
		r.stacks, r.services, seconds(r.first), list(r.bare, seconds), ratio(r.first, base))
	row("the same, until every release is on record | %s | | %.2f", seconds(r.synced), ratio(r.synced, base))
	starts, swaps := pick(r.changes, change.running), pick(r.swaps, change.running)
	row("one service of %d changed: from the push until its release begins (fetched, every file loaded) | %s | |",
		r.containers(), spread(pick(r.changes, change.beginning)))
	row("the same: from the push until its new container runs | %s | %s | %.2f",
		spread(starts), spread(swaps), ratio(median(starts), median(swaps)))
	ends, swapped := pick(r.changes, change.over), pick(r.swaps, change.over)
	row("the same, until the old one has stopped and the release is on record | %s | %s | %.2f",
		spread(ends), spread(swapped), ratio(median(ends), median(swapped)))
	row("a poll and a pass with nothing to do: CPU | %s | |", milliseconds(r.pass.cpu))
	row("the same: list calls, other reads, changes | %.2f, %.2f, %d | |", r.pass.lists, r.pass.inspects, r.pass.mutations)
	row("idle for %s, 30 s poll: CPU | %.2f %% of a core | |", r.size.idle, 100*ratio(r.idle.cpu, r.size.idle))
	row("idle: anonymous memory (resident) | %.1f MiB (%.1f) | |", mib(r.idle.usage.Anonymous), mib(r.idle.usage.Resident))
	b.WriteString("\n" + replacementTable(r.replacements))
	b.WriteString("\n" + revertTable(r.reverts))
	return b.String()
}

func (c change) beginning() time.Duration { return c.begun }
func (c change) running() time.Duration   { return c.started }
func (c change) over() time.Duration      { return c.done }

func pick[T any](all []T, f func(T) time.Duration) []time.Duration {
	var out []time.Duration
	for _, c := range all {
		out = append(out, f(c))
	}
	slices.Sort(out)
	return out
}

func median(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

func spread(sorted []time.Duration) string {
	return fmt.Sprintf("%s [%s–%s]", milliseconds(median(sorted)), milliseconds(sorted[0]), milliseconds(sorted[len(sorted)-1]))
}

func list(all []time.Duration, print func(time.Duration) string) string {
	var out []string
	for _, d := range all {
		out = append(out, print(d))
	}
	return strings.Join(out, ", ")
}

func ratio(a, b time.Duration) float64    { return float64(a) / float64(b) }
func seconds(d time.Duration) string      { return fmt.Sprintf("%.1f s", d.Seconds()) }
func milliseconds(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/1e6) }
func mib(bytes int64) float64             { return float64(bytes) / (1 << 20) }

// load is the load average of the last minute, "unknown" where nothing tells.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// memory is how much the machine has.
func memory() string {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return "unknown memory"
	}
	var kib int64
	if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err != nil {
		return "unknown memory"
	}
	return fmt.Sprintf("%d GiB", kib>>20)
}
