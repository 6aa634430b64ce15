// Command fidelity measures whether davit makes of compose files exactly what
// Docker Compose makes of them. It creates the containers, networks and volumes of
// every file on an engine of its own, starts nothing, and holds what the engine
// says of them, field by field, against what it says of Compose's.
//
// For the files of this repository, testdata/compose/fidelity/*.txtar, what Compose
// makes is on record beside them. For any directory given with -dir, and to write
// the record anew with -update, Compose itself is asked: -composer names the
// binary.
//
// It exits 0 only if nothing differs but what rules.go says and why,
// and if the files cover the attributes that Compose's schema knows.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"

	"github.com/sirupsen/logrus"
)

func main() {
	var o options
	only := ""
	flag.StringVar(&o.dir, "dir", "", "compare every compose file below this `directory` instead of the repository's own")
	flag.StringVar(&o.composer, "composer", "", "the `binary` of Docker Compose, from `make composer`")
	flag.BoolVar(&o.update, "update", false, "write the record of what Compose makes of the repository's files anew")
	flag.BoolVar(&o.verify, "verify", false, "ask Compose anew and see that the record still holds")
	flag.StringVar(&o.engine, "engine", "", "the `address` of an engine that nobody else uses; default one that is started for this and ends with it")
	flag.StringVar(&only, "only", "", "only the files whose name matches this `expression`")
	flag.IntVar(&o.parallel, "parallel", 6, "how many files are worked on at once")
	flag.Parse()
	// compose-go remarks on files in the middle of everything.
	logrus.SetOutput(io.Discard)

	// A reader that has seen enough, such as head, does not keep the engine from
	// being taken away.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if o.only, err = regexp.Compile(only); err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fidelity:", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	dir, composer, engine string
	update, verify        bool
	only                  *regexp.Regexp
	parallel              int
}
