package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
)

// Records of what Compose makes stand beside the files, as NAME.json; what they
// were made on is in engine.json, because the same request gives another container
// on another kind of engine.
const fingerprintFile = "engine.json"

// fingerprint is what the engine's answers depend on beside the request.
type fingerprint struct {
	APIVersion, CgroupVersion, DefaultRuntime, LoggingDriver string
	SwapLimit, OomKillDisable, PidsLimit, CpuCfsQuota        bool
	SecurityOptions                                          []string
}

// fingerprint asks the engine.
func (b *bench) fingerprint(ctx context.Context) (f fingerprint, err error) {
	return f, errors.Join(b.engine.Ask(ctx, "/info", nil, &f), b.engine.Ask(ctx, "/version", nil, &f))
}

// comparable reports whether the records hold for an engine like f.
func comparable(f fingerprint) (bool, error) {
	var recorded fingerprint
	if err := read(fingerprintFile, &recorded); err != nil {
		return false, err
	}
	return reflect.DeepEqual(recorded, f), nil
}

// recorded is what Compose made of a file when the record was written.
func recorded(name string) (m made, err error) {
	err = read(name+".json", &m)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("nothing is on record of what Compose makes of %s: run make fidelity-reference", name)
	}
	return m, err
}

func read(name string, into any) error {
	data, err := os.ReadFile(filepath.Join(corpus, name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func record(name string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(corpus, name), append(data, '\n'), 0o644)
}
