package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// VolumeHash is Compose's own hash of a volume of p, as in the volume's label; see
// NetworkHash for a network's.
func (p *Project) VolumeHash(key string) string {
	v := p.Model.Volumes[key]
	v.CustomLabels = nil
	if v.Driver == "" {
		v.Driver = "local" // as Compose has it, for volumes only
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "" // it came out of JSON; equal to no label
	}
	digest := sha256.Sum256(raw)
	return hex.EncodeToString(digest[:])
}

// MadeVolume is a volume as the engine has it.
type MadeVolume struct {
	Driver          string
	Options, Labels map[string]string
	// Hash is Compose's label, "" where Compose or davit did not make it.
	Hash string
}

// VolumeChange says in words how the declaration of the volume differs from the
// one that exists, "" where it does not. It compares everything that Compose's
// hash covers and not the hash alone, which generations of Compose may make
// differently.
func (p *Project) VolumeChange(key string, made MadeVolume) string {
	v := p.Model.Volumes[key]
	if bool(v.External) || made.Hash != "" && made.Hash == p.VolumeHash(key) {
		return ""
	}
	var list []string
	if driver := v.Driver; driver != "" || made.Hash != "" {
		if driver == "" {
			driver = "local"
		}
		if driver != made.Driver {
			list = append(list, fmt.Sprintf("driver %s -> %s", made.Driver, driver))
		}
	}
	if len(v.DriverOpts) > 0 || made.Hash != "" {
		list = append(list, changes("driver_opts", made.Options, v.DriverOpts)...)
	}
	if made.Hash != "" {
		list = append(list, changes("label", declaredLabels(made.Labels), v.Labels)...)
	}
	return strings.Join(list, ", ")
}

// changes name the keys that differ, sorted, without their values: an option may
// hold a password.
func changes(what string, before, after map[string]string) []string {
	keys := map[string]bool{}
	for _, side := range []map[string]string{before, after} {
		for k := range side {
			keys[k] = true
		}
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		old, was := before[k]
		value, is := after[k]
		switch {
		case was && !is:
			list = append(list, fmt.Sprintf("%s %s removed", what, k))
		case !was && is:
			list = append(list, fmt.Sprintf("%s %s added", what, k))
		case old != value:
			list = append(list, fmt.Sprintf("%s %s changed", what, k))
		}
	}
	return list
}

// declaredLabels are a volume's labels without those of Compose, davit and the
// engine.
func declaredLabels(all map[string]string) map[string]string {
	out := maps.Clone(all)
	maps.DeleteFunc(out, func(k, _ string) bool {
		return strings.HasPrefix(k, "com.docker.") || strings.HasPrefix(k, "davit.")
	})
	return out
}
