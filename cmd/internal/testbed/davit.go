package testbed

// Davit builds davit as it stands in this module and returns the binary's path, for
// tests of a process that need no bed.
func Davit(tb TB) string {
	tb.Helper()
	binary, err := build(tb.Context(), "./cmd/davit", "davit")
	if err != nil {
		tb.Fatalf("build davit: %v", err)
	}
	return binary
}
