package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// report is what is printed: tables in Markdown.
type report struct {
	size    size
	results []result
}

func (r report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d connections, medians of %d runs of %s each, one after the other.\n\n", r.size.connections, r.size.runs, r.size.each)
	b.WriteString("| | requests/s | of direct | CPU µs per request | of HAProxy's | p50 | p99 |\n|---|---|---|---|---|---|---|\n")
	direct := r.of("direct").median(perSecond)
	for _, one := range r.results {
		peer := r.of("HAProxy HTTP")
		if strings.HasSuffix(one.name, "TCP") || one.name == "docker-proxy" {
			peer = r.of("HAProxy TCP")
		}
		cpu, ratio := "", ""
		if used := one.median(perRequest); used > 0 {
			cpu, ratio = fmt.Sprintf("%.1f", used), fmt.Sprintf("%.2f", used/peer.median(perRequest))
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.2f | %s | %s | %s | %s |\n", one.name, one.median(perSecond), one.median(perSecond)/direct, cpu, ratio,
			latency(one.median(p50)), latency(one.median(p99)))
	}
	tcp := r.of("davit TCP").median(perSecond) / r.of("HAProxy TCP").median(perSecond)
	http := r.of("davit HTTP").median(perRequest) / r.of("HAProxy HTTP").median(perRequest)
	fmt.Fprintf(&b, "\ndavit TCP answers %.2f of what HAProxy TCP does; davit HTTP takes %.2f of HAProxy's processor time per request.\n\n", tcp, http)
	b.WriteString("Memory of its own, in MiB, after work with so many connections, and KiB for each idle one:\n\n| |")
	for _, n := range crowds() {
		fmt.Fprintf(&b, " %d |", n)
	}
	fmt.Fprintf(&b, " each of so many idle |\n|---|%s---|\n", strings.Repeat("---|", len(crowds())))
	for _, one := range r.results {
		if len(one.memory) == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s |", one.name)
		for _, n := range crowds() {
			fmt.Fprintf(&b, " %.1f |", float64(one.memory[n])/(1<<20))
		}
		fmt.Fprintf(&b, " %.1f of %d |\n", one.perIdle/1024, one.held)
	}
	return b.String()
}

func (r report) of(name string) result {
	at := slices.IndexFunc(r.results, func(one result) bool { return one.name == name })
	return r.results[at]
}

func perSecond(s sample) float64  { return s.perSecond }
func perRequest(s sample) float64 { return float64(s.perRequest) / float64(time.Microsecond) }
func p50(s sample) float64        { return float64(s.p50) }
func p99(s sample) float64        { return float64(s.p99) }

func (r result) median(of func(sample) float64) float64 {
	values := make([]float64, len(r.samples))
	for i, s := range r.samples {
		values[i] = of(s)
	}
	slices.SortFunc(values, cmp.Compare)
	return values[len(values)/2]
}

func latency(nanoseconds float64) string {
	return time.Duration(nanoseconds).Round(10 * time.Microsecond).String()
}
