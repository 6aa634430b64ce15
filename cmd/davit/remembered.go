package main

import (
	"context"
	"encoding/json"
	"fmt"

	"davit/reconcile"
)

// What commands that run without an agent know of its sources.

// sourcesKey is where the sources' names are remembered.
const sourcesKey = "sources"

// revisionKey is where the newest declared revision of a source is remembered.
func revisionKey(source string) string {
	if source == "" {
		return "revision"
	}
	return "revision/" + source
}

func rememberRevision(ctx context.Context, m reconcile.Memory, source string, r reconcile.Revision) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return m.Remember(ctx, revisionKey(source), string(text))
}

// recallRevision is the newest declared revision of a source.
func recallRevision(ctx context.Context, m reconcile.Memory, source string) (r reconcile.Revision, found bool, err error) {
	text, found, err := m.Recall(ctx, revisionKey(source))
	if err != nil || !found {
		return r, false, err
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, false, fmt.Errorf("read the last revision: %w", err)
	}
	return r, true, nil
}

func rememberSources(ctx context.Context, m reconcile.Memory, names []string) error {
	text, err := json.Marshal(names)
	if err != nil {
		return err
	}
	return m.Remember(ctx, sourcesKey, string(text))
}

// withRecalled is config with the sources that the agent had last, unless it has
// some of its own.
func withRecalled(ctx context.Context, config Config, m reconcile.Memory) (Config, error) {
	if len(config.followed()) > 0 {
		return config, nil
	}
	text, found, err := m.Recall(ctx, sourcesKey)
	if err != nil || !found {
		return config, err
	}
	var names []string
	if err := json.Unmarshal([]byte(text), &names); err != nil {
		return config, fmt.Errorf("read the names of sources: %w", err)
	}
	alone := config
	for _, name := range names {
		if name != "" {
			config.Sources = append(config.Sources, Source{Name: name, Config: alone})
		}
	}
	return config, nil
}
