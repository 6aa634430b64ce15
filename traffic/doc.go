// Package traffic is the edge: it owns the host ports that services publish, so
// that a service can be replaced without a gap, and says truthfully when a replica
// has nothing left to answer.
//
// The agent writes a Table, whole and numbered, and hands it to Edge.Apply. What
// Apply has acknowledged holds for every connection and request from then on: a
// replica that the table has as draining, or not any more, gets nothing new. The
// table is level, not edge: applying it twice changes nothing, and an edge that
// was restarted serves the last one again.
//
// A connection goes this way:
//
//	listener -> sniff (protocol auto) -> HTTP/1 | h2c | TCP          UDP sessions
//	                                       \      |     /              /
//	                                        pool.claim -> lease -> replica
//
// A pool is the choice among the replicas behind one port: by release weight, then
// least in flight, past those that are draining, ejected or not confirmed. A lease
// is one request, stream or connection that a replica was given; it ends exactly
// once. A replica counts its leases over all of its ports, which is what a drain
// waits for.
//
// Container addresses are no identities: an engine that restarts deals them out
// anew. An address is dialled only while it is confirmed that the container with
// this ID, started at this time, has it. What is not confirmed is parked, and
// answered with 503 after a limit. Who confirms is the agent, by a table that says
// when it looked, or the edge's own Lookout, each only for as long as the Lookout hears
// of what happens to containers: that puts addresses in doubt again. While it hears
// nothing, as when the engine is away, a container is believed for as long as its pulse
// is felt. Where no agent is there to say what became of a container, the edge follows
// it after a while.
package traffic
