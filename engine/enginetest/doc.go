// Package enginetest is a container engine in memory, and the contract that it
// shares with the real adapter.
//
// The twin keeps the rules that rollouts depend on and forgets the rest: names
// and host ports conflict, an image must be present, a running container cannot
// be removed, restart policies act as the engine's do when a process ends and
// when the daemon restarts. What a container does is the Behaviour of its image.
// Time is lazy: every call first lets everything happen that was due by then, so
// the twin needs no goroutine and runs under testing/synctest or under any clock.
//
// Contract runs the same tests against the twin and the adapter, which is what
// keeps the twin from becoming fiction.
package enginetest
