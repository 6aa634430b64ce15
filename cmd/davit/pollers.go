package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"davit/web"
)

// pollers are those of all sources. None waits for another.
type pollers []*poller

// String names every source, without secrets.
func (ps pollers) String() string {
	var all []string
	for _, p := range ps {
		all = append(all, strings.TrimSpace(p.name+" "+p.source.String()))
	}
	return strings.Join(all, ", ")
}

// States implements web.Sources.
func (ps pollers) States() []web.SourceStatus {
	var all []web.SourceStatus
	for _, p := range ps {
		all = append(all, p.State())
	}
	return all
}

// Poll implements web.Sources.
func (ps pollers) Poll(ctx context.Context, name string) error {
	var wait sync.WaitGroup
	failed := make([]error, len(ps))
	for i, p := range ps {
		if name != "" && name != p.name {
			continue
		}
		wait.Go(func() {
			failed[i] = p.Poll(ctx)
			if failed[i] != nil && p.name != "" {
				failed[i] = fmt.Errorf("source %s: %w", p.name, failed[i])
			}
		})
	}
	wait.Wait()
	return errors.Join(failed...)
}

// ask has every source polled soon.
func (ps pollers) ask() {
	for _, p := range ps {
		p.ask()
	}
}
