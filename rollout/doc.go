// Package rollout carries out plans. It decides nothing: which containers come
// and go, in which order and why, was decided by the planner, and what to do
// about a failure is decided by the loop. What is left for this package is to be
// trusted with the order: of calls to the engine, and of the commands that a
// service runs before its first start, after its start and before its stop.
//
// # Order
//
// A plan is a graph, and its steps guard one another: "stop the old container"
// comes after "the new one is ready". So a step begins only after every step
// that it names in After has succeeded. One goroutine, the one that called
// Execute, owns the graph; steps run in goroutines of their own and hand their
// outcome back to it. There is no per-step channel that a failed step could
// close a moment before the others learn of the failure, which is how a
// dependent gets to run after a prerequisite failed.
//
// The first step that does not succeed ends the execution: nothing new begins,
// gates, monitors, delays and pulls are abandoned, and every other call that the
// engine already has is allowed to finish, each under its own deadline, because
// to walk away from it would not undo it. A cancelled context ends it likewise.
//
// # Budgets
//
// A step that takes replicas out of service may name a budget: how many others have
// to be ready when it begins. Only the goroutine that owns the graph gives it out, and
// whatever it was given out for counts as gone from then on, so that two steps cannot
// both be the last that is allowed. A step that has waited in vain for a while ends the
// execution with reconcile.ErrBudget: what was lost meanwhile takes another plan.
//
// # Blame
//
// Result.Failure means that the content is bad: it was started and found
// wanting, or the engine refused to make or start it as declared. Everything
// that may be different at the next attempt though the content is the same is
// Result.Err: an unreachable engine, a full disk, a registry, a container that
// somebody removed by hand, a journal that cannot be written, a cancelled
// context. The two exclude each other. The first cause decides, save that
// a cancellation never hides a failure.
//
// # Gates
//
// A gate judges a container by what the container itself says: when it started,
// how often it restarted, its state and its health. Nothing is counted in polls,
// so an agent that was killed during a gate comes to the same verdict
// afterwards. Looks are repeated at a growing interval, and at once when
// Changed rings for the container.
//
// An engine that goes away in the meantime is waited for. A container that is
// found stopped when the engine is back proves nothing, since an engine without
// live-restore takes its containers down with it: that is Result.Err. So it is where
// only the end of its events tells that it was away (Lost): one that is back at once
// answers every look.
package rollout
