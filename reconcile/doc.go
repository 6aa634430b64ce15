/*
Package reconcile is davit's hub: it holds the nouns that every other package
speaks in, decides what is to be done about each stack, and plans it. It does
nothing itself: the engine, the registry, the store and the executor are
interfaces here, and time is a value.

# The idea

A stack is driven from what runs to what is declared by asking one question again
and again: given everything that is so now, what is the next plan? Whatever
happens (a new revision, an engine event, an operator's command, a timer) only
wakes the loop. A pass then

	observes     one snapshot of the engine                    Observed
	decides      what each stack should run, and why           Decide -> Verdict
	resolves     references to images, once per release        Image
	plans        the steps from Observed to Desired            NewPlan -> Plan
	executes     through the Executor, which decides nothing   Result
	records      how it ended                                  Release

Plans are disposable. After a crash nothing is resumed from memory: the next pass
observes and plans the remainder, or the retreat.

# Rollback is no special path

A revert, an operator's rollback and the return from a failed release differ only
in which earlier release Decide names as the one to restore. Planning towards it is
planning like any other. What makes it exact is that a release records the rendered
project and the image IDs, so that neither Git nor a registry has a say in it.

# What a container says about itself

The planner recognises a container by its spec hash and its image ID. One that
matches what is desired is current while it runs and idle while it is stopped; one
that does not match is old while it runs and spare while it is stopped. A start-first
replacement, a stop-first replacement, the return to a standby and the clean-up after
a crash at any point are the same few rules over these four heaps. Three more are what
those rules pass over: what is current and one too many, standbys that run, and what is
stopped because an operator wants it so or because it failed; see fleet.go and slot.go.

Whether a replica still has to be gated, to join, or to get its restart policy is
read off the container as well: its aliases and its policy are the record of how far
it came. The policy is set last.

# Whose a stack is

Several sources may declare a name; it belongs to the first, also after a restart,
until that source declares it no more (claims.go). What Docker Compose runs is
somebody else's until it is adopted, which changes nothing that runs. Labels cannot
be added to a container, so the record says which ones were adopted, and every
snapshot is read with it (title.go). What others do to a stack is put right or
tolerated (drift.go, foreign.go); what an operator stops is a decision, and is kept
(stops.go).

# Who owns a host port

Two containers cannot publish one host port, so the ports of services that are
replaced start-first belong to the edge, where there is one. Which of its ports were
left to it is part of what a container is (portowner.go). In a rollout the edge is told
of the new containers before those that they replace finish, and none is stopped before
it has: shift, drain, stop (shift.go). Which containers it hands work to is read off
the edge's own table, which is all that a rollout that was cut off leaves behind.

Between rollouts the loop keeps that table what the record and the engine say
(mend.go). That is no drift, and makes no release: no container changes.

# Files

A file that a container mounts is named by its content. What no container, stack,
hold, pin or kept release needs is collected, an hour after it was made at the
earliest (collect.go).

# Waiting, stalled, held

Content that could not even start is waiting: it is tried again with backoff until
the world has changed. Content that started and failed is held: it is never tried
again until it changes or an operator says so, and the history, not the hold alone,
remembers it. What only a human can help is stalled. See outcome.go and verdict.go.
*/
package reconcile
