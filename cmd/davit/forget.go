package main

import (
	"context"
	"strings"
	"time"

	"davit/gitsource"
)

// formerSource is how long what was exported of a source that is no longer
// configured is kept: somebody may be trying another one out.
const formerSource = 30 * 24 * time.Hour

// forgetEvery is how often that is looked for: an agent may run for years.
const forgetEvery = 24 * time.Hour

// forgetSources removes the exports of sources that were configured once.
func (a *agent) forgetSources() {
	var current []*gitsource.Source
	for _, p := range a.pollers {
		if s, ok := p.source.(*gitsource.Source); ok {
			current = append(current, s)
		}
	}
	removed, err := gitsource.Forget(a.config.Data, current, a.now().Add(-formerSource))
	a.report("remove the exports of former sources", err)
	if len(removed) > 0 {
		a.logger.Info("exports of former sources are removed", "directories", strings.Join(removed, " "))
	}
}

// keepForgetting does so every day until ctx ends.
func (a *agent) keepForgetting(ctx context.Context) {
	day := time.NewTicker(forgetEvery)
	defer day.Stop()
	for {
		select {
		case <-day.C:
			a.forgetSources()
		case <-ctx.Done():
			return
		}
	}
}
