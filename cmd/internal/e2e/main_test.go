package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// soak asks for the long form of the tests that can be repeated at will.
var (
	soak   = flag.Bool("soak", false, "try everything at full size")
	stormy = flag.Int("storms", 30, "with -soak, how many rollouts are struck at random moments")
)

// TestMain looks for an engine first: one clear line instead of a failure of
// every test.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := ping(); err != nil {
		fmt.Fprintln(os.Stderr, "end-to-end tests need a container engine; scripts/ensure-docker helps:", err)
		os.Exit(1)
	}
	if err := atOnce(4); err != nil {
		fmt.Fprintln(os.Stderr, "set the number of tests that run at once:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// atOnce has so many tests run at once, for they wait for the engine rather than for a
// core. Whoever has asked for another number with -parallel gets that.
func atOnce(tests int) error {
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if asked {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(tests))
}

func ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	engine, err := testbed.NewEngine("")
	if err != nil {
		return err
	}
	return engine.Ping(ctx)
}
