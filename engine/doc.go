// Package engine is davit's side of the Docker Engine API. It takes snapshots of
// what runs, carries out one step of a plan per call, builds images, runs the
// commands of services, and turns the engine's events into reasons to look again.
// It decides nothing.
//
// Four ideas hold it together.
//
// A container is what Compose would have made. The conversion in config.go,
// hostconfig.go, mounts.go and networking.go follows docker/compose attribute by
// attribute and refuses what it does not map, so that Compose's own commands work
// on what davit deployed; `make fidelity` holds one against the other. What an
// engine is too old for is an error that says which one takes it. Where davit
// differs, it differs on purpose: without host ports, without discovery names and
// with restart policy "no" until a replica is proven.
//
// Every call may be repeated. An agent that died after a request and before its
// reply asks again, so what is already so is a success. A container that needs
// more than one request to make carries another name until it is whole, and
// Observe shows it without a spec, so that nobody starts half a container.
//
// An engine that died may not know all that it has started. What runs in containers that
// do not, as it sees them, is ended before anything else is started (orphans.go).
//
// Errors are for the loop. What the engine says is mapped to the hub's sentinels
// (image missing, disk full, engine unavailable) at this edge and nowhere else.
package engine
