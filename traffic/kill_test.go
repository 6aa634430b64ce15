package traffic

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// victimDir, when set in the environment, makes the test binary an edge that is given
// tables as fast as it takes them, until it is killed.
const victimDir = "TRAFFIC_TEST_VICTIM_DIR"

// manyLengths is how many ports its tables have at most, plus one.
const manyLengths = 40

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		fmt.Println("error", victim(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim says on standard output what it has acknowledged.
func victim(dir string) error {
	e, err := New(Options{Dir: dir, Log: discarded()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	table := shopTable(e.State().Generation)
	port := table.Ports[0]
	for ctx.Err() == nil {
		table.Generation++
		table.Ports = nil
		for n := range table.Generation % manyLengths {
			// Nobody can listen at these, so that nobody else is kept from it.
			port.Address = netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(1+n))
			table.Ports = append(table.Ports, port)
		}
		a, err := e.Apply(ctx, table)
		if err != nil {
			return err
		}
		fmt.Println(a.Generation)
	}
	return <-ended
}

func TestAnEdgeThatIsKilledAtAnyMomentServesWhatItAcknowledged(t *testing.T) {
	dir := t.TempDir()
	last := int64(0)
	for round := range 8 {
		promised := killed(t, dir, time.Duration(20+rand.N(60))*time.Millisecond)
		s, err := openStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		table, err := s.load()
		if err != nil {
			t.Fatal(err)
		}
		// The one after the last acknowledged may have been written, and not been told.
		if table.Generation < promised || table.Generation > promised+1 || promised < last || len(table.Ports) != int(table.Generation%manyLengths) {
			t.Fatalf("round %d: %d with %d ports is on disk, %d was acknowledged, %d before", round, table.Generation, len(table.Ports), promised, last)
		}
		last = table.Generation
	}
}

// killed lets a victim work in dir for so long after its first word, and returns the
// last generation that it acknowledged.
func killed(t *testing.T, dir string, after time.Duration) (promised int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if promised == 0 {
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		if strings.HasPrefix(lines.Text(), "error") {
			t.Error(lines.Text())
		}
		if _, err := fmt.Sscan(lines.Text(), &promised); err != nil {
			t.Errorf("%q: %v", lines.Text(), err)
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the victim ended by itself")
	}
	if promised == 0 {
		t.Fatal("the victim acknowledged nothing")
	}
	return promised
}
