package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"davit/engine"
	"davit/reconcile"
	"davit/state"
)

// askedEngine is the host's engine for a command that changes nothing on it.
func askedEngine(config Config) (*engine.Engine, error) {
	return engine.New(engine.Options{
		Host: config.Engine, Instance: "none", DockerConfigDir: config.DockerConfig, Logger: slog.New(slog.DiscardHandler),
	})
}

// engineChecks are everything that the engine says by itself.
func (d *doctor) engineChecks(ctx context.Context) []finding {
	h, err := d.engine.Host(ctx)
	if err != nil {
		advice := "start the engine, or name its address with --engine; it is " + d.config.Engine
		if errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "permission denied") {
			advice = "run davit as root, or let its user into the group that the socket belongs to"
		}
		return failed("engine", err, advice)
	}
	found := []finding{engineVersion(h)}
	found = append(found, addressPools(h), liveRestore(h), storage(h))
	for _, w := range h.Warnings {
		found = append(found, finding{Check: "engine warning", Level: levelWarn, Seen: strings.TrimPrefix(w, "WARNING: "),
			Advice: "limits that a stack declares may not hold; the engine's manual says what the kernel needs"})
	}
	return append(found, d.engineClock(h)...)
}

func engineVersion(h engine.Host) finding {
	f := finding{Check: "engine", Level: levelOK, Seen: fmt.Sprintf("Docker %s, API %s, cgroup v%s", h.Version, h.APIVersion, orUnknown(h.CgroupVersion))}
	switch {
	case h.TooOld:
		f.Level, f.Advice = levelFail, "davit needs Docker 20.10, API 1.41, or newer: upgrade the engine"
	case h.Rootless:
		f.Seen += ", rootless"
	case h.UserNamespaces:
		f.Seen += ", user namespaces"
	}
	return f
}

func orUnknown(text string) string {
	if text == "" {
		return "?"
	}
	return text
}

// addressPools warns before the engine has no subnet left for a new network: its
// own error then does not say which setting would help.
func addressPools(h engine.Host) finding {
	f := finding{Check: "address pools", Level: levelOK, Seen: fmt.Sprintf("%d bridge networks, room for about %d", h.Bridges, h.Subnets)}
	advice := `widen them in /etc/docker/daemon.json, for example "default-address-pools": [{"base": "10.200.0.0/16", "size": 26}], and restart the engine`
	switch {
	case h.Bridges >= h.Subnets:
		f.Level, f.Advice = levelFail, advice
	case h.Bridges*5 >= h.Subnets*4:
		f.Level, f.Advice = levelWarn, advice
	}
	return f
}

func liveRestore(h engine.Host) finding {
	f := finding{Check: "live-restore", Level: levelOK, Seen: "on: containers outlive a restart of the engine"}
	switch {
	case !h.LiveRestore:
		f.Level, f.Seen = levelWarn, "off: restarting or upgrading the engine stops every container"
		f.Advice = `set "live-restore": true in /etc/docker/daemon.json and reload the engine`
	case strings.HasPrefix(h.Version, "20.10."):
		f.Seen += "; after a kill of dockerd 20.10 health checks stand still until a container is started again"
	}
	return f
}

func storage(h engine.Host) finding {
	f := finding{Check: "storage driver", Level: levelOK, Seen: fmt.Sprintf("%s in %s", orUnknown(h.StorageDriver), h.RootDir)}
	switch h.StorageDriver {
	case "vfs":
		f.Level, f.Advice = levelWarn, "vfs copies every layer for every container: use overlay2"
	case "devicemapper", "aufs", "overlay":
		f.Level, f.Advice = levelWarn, "newer engines do not have it any more: move to overlay2 before an upgrade"
	}
	return f
}

// socketCheck looks at who can speak to a local engine.
func (d *doctor) socketCheck(context.Context) []finding {
	const name = "engine socket"
	path := d.config.socket()
	if path == "" {
		if strings.HasPrefix(d.config.Engine, "tcp://") && os.Getenv("DOCKER_TLS_VERIFY") == "" {
			return one(name, levelWarn, d.config.Engine+" without DOCKER_TLS_VERIFY",
				"whoever reaches this port is root on its host: use TLS, ssh or a local socket")
		}
		return one(name, levelOK, d.config.Engine, "")
	}
	info, err := os.Stat(path)
	if err != nil {
		return failed(name, err, "start the engine, or name its address with --engine")
	}
	if info.Mode().Perm()&0o002 != 0 {
		return one(name, levelFail, fmt.Sprintf("%s can be written by everybody", path), "whoever can write to it is root on this host: chmod 660 "+path)
	}
	return one(name, levelOK, fmt.Sprintf("%s, %s", path, info.Mode().Perm()), "")
}

// releaseCheck asks whether the images of the releases that could be returned to
// are still there.
func (d *doctor) releaseCheck(ctx context.Context) []finding {
	const name = "releases"
	r, err := state.OpenReadOnly(d.config.Data)
	if err != nil {
		return nil // the record has a check of its own
	}
	defer r.Close()
	stacks, err := r.Stacks(ctx)
	if err != nil {
		return failed(name, err, "")
	}
	var found []finding
	kept := 0
	for _, stack := range stacks {
		history, err := r.Releases(ctx, stack, 0)
		if err != nil {
			return failed(name, err, "")
		}
		n, gone, err := d.gone(ctx, history)
		if err != nil {
			return one(name, levelWarn, "not looked at: "+err.Error(), "")
		}
		kept += n
		for _, text := range gone {
			found = append(found, finding{Check: name, Level: levelWarn, Seen: stack + " " + text,
				Advice: "it cannot be returned to unless a registry still has the image; `docker image prune -a` takes images of stopped releases away"})
		}
	}
	if len(found) == 0 {
		return one(name, levelOK, fmt.Sprintf("%d stacks, %d releases can be returned to", len(stacks), kept), "")
	}
	return found
}

// gone counts the good releases that are kept and names those whose images are
// gone from this host.
func (d *doctor) gone(ctx context.Context, history []reconcile.Release) (kept int, gone []string, err error) {
	seen := map[string]bool{}
	for _, r := range history {
		if !r.Good() || seen[r.Hash] {
			continue
		}
		if seen[r.Hash] = true; len(seen) > d.config.KeepReleases {
			break
		}
		kept++
		for _, s := range r.Services {
			if s.Image.ID == "" {
				continue
			}
			_, err := d.engine.LocalImage(ctx, s.Image.ID)
			switch {
			case errors.Is(err, reconcile.ErrImageMissing):
				gone = append(gone, fmt.Sprintf("release #%d %s: image %s of %s is gone from this host", r.Seq, r.Version, s.Image.Ref, s.Name))
			case err != nil:
				return kept, gone, err
			}
		}
	}
	return kept, gone, nil
}

// stacksCheck asks whether the engine can do what the revisions declare that the
// agent fetched last.
func (d *doctor) stacksCheck(ctx context.Context) []finding {
	const name = "stacks"
	declared, err := lastDeclared(ctx, d.config)
	if err != nil || len(declared) == 0 {
		return nil // nothing was fetched yet, or the record's own check says why not
	}
	var found []finding
	for _, p := range declared {
		tooNew, err := d.engine.TooNew(ctx, p)
		if err != nil {
			return one(name, levelWarn, "not looked at: "+err.Error(), "")
		}
		for _, e := range tooNew {
			found = append(found, finding{Check: name, Level: levelFail, Seen: p.Name + ": " + e.Error(), Advice: hint(e)})
		}
	}
	if len(found) == 0 {
		return one(name, levelOK, fmt.Sprintf("%d stacks are declared, with nothing that the engine is too old for", len(declared)), "")
	}
	return found
}
