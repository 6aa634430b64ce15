package testbed

import "context"

// TB is what a Bed needs of its owner: a *testing.T, or the demo's own story.
type TB interface {
	Helper()
	// Context ends just before the functions given to Cleanup are called.
	Context() context.Context
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	// Fatalf does not return.
	Fatalf(format string, args ...any)
	Failed() bool
	// Cleanup functions are called last in, first out.
	Cleanup(func())
}
