package testbed

// Davit builds davit as it stands in this module and returns the binary's path, for
// tests of a process that need no bed.
func Davit(tb TB) string {
	tb.Helper()
	binary, err := davitProgram()
	if err != nil {
		tb.Fatalf("build davit: %v", err)
	}
	return binary
}
