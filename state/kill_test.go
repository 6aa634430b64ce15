package state

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/reconcile"
)

// victimDir, when set in the environment, makes the test binary an agent that
// writes as fast as it can until it is killed.
const victimDir = "STATE_TEST_VICTIM_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		fmt.Println("error", victim(dir))
		os.Exit(1)
	}
	if dir := os.Getenv(readerDir); dir != "" {
		if err := readOverAndOver(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(smallDisk); dir != "" {
		if err := inSmallDisk(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// A default that suits a slow machine; the command line still overrides it.
	if err := flag.Set("rapid.checks", "10"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// victim says on standard output what it has been promised.
func victim(dir string) error {
	ctx := context.Background()
	s, recovery, err := Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if recovery.Happened() {
		return fmt.Errorf("recovered: %s", recovery)
	}
	fmt.Println("open")
	for {
		r, err := s.Begin(ctx, reconcile.Release{Stack: "shop", Started: time.Now(), Project: []byte("name: shop")})
		if err != nil {
			return err
		}
		fmt.Println("begun", r.Seq)
		if err := s.Intend(ctx, reconcile.Entry{Stack: "shop", Seq: r.Seq, Step: 1, Action: "create web/1", At: time.Now()}); err != nil {
			return err
		}
		r.Outcome = reconcile.Succeeded
		r.Services = []reconcile.ServiceRecord{{Name: "web", Containers: []string{fmt.Sprint("c", r.Seq)}}}
		if err := s.Finish(ctx, r); err != nil {
			return err
		}
		fmt.Println("finished", r.Seq)
		e, err := s.AppendEvent(ctx, reconcile.Event{At: time.Now(), Kind: reconcile.EventReleaseSucceeded})
		if err != nil {
			return err
		}
		fmt.Println("event", e.ID)
		if r.Seq%7 == 0 {
			if _, err := s.Snapshot(ctx); err != nil {
				return err
			}
		}
	}
}

// promise is what a victim said before it was killed.
type promise struct {
	begun, finished []int64
	event           int64
}

// killOne starts a victim and kills it after it has said lines things; with 0
// lines, after pause.
func killOne(t *testing.T, dir string, lines int, pause time.Duration, p *promise) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimDir+"="+dir)
	out := must[io.ReadCloser](t)(cmd.StdoutPipe())
	check(t, cmd.Start())
	if lines == 0 {
		time.Sleep(pause) // any instant will do, also one before it is ready
		check(t, cmd.Process.Kill())
	}
	said := bufio.NewScanner(out)
	for n := 1; said.Scan(); n++ {
		// What stands in the pipe after the kill was promised as well.
		var word string
		var number int64
		_, _ = fmt.Sscan(said.Text(), &word, &number)
		switch word {
		case "error":
			t.Errorf("the victim failed: %s", said.Text())
		case "begun":
			p.begun = append(p.begun, number)
		case "finished":
			p.finished = append(p.finished, number)
		case "event":
			if number <= p.event {
				t.Errorf("event id %d after %d", number, p.event)
			}
			p.event = number
		}
		if n == lines {
			check(t, cmd.Process.Kill())
		}
	}
	_ = cmd.Wait() // it was killed
}

func TestNothingPromisedIsLostWhenTheAgentIsKilled(t *testing.T) {
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var p promise
	for round := range 12 {
		lines := random.IntN(30)
		killOne(t, dir, lines, time.Duration(random.IntN(40))*time.Millisecond, &p)
		if round == 5 && len(p.begun) == 0 {
			t.Fatal("no victim came far enough to promise anything")
		}
		keepsPromise(t, dir, p)
	}
	if !slices.IsSorted(p.begun) || len(slices.Compact(slices.Clone(p.begun))) != len(p.begun) {
		t.Errorf("sequence numbers were given out twice: %v", p.begun)
	}
}

// keepsPromise looks at what the dead agent left, first as `davit history` does,
// then as the next agent does.
func keepsPromise(t *testing.T, dir string, p promise) {
	t.Helper()
	if _, err := os.Stat(dir + "/state.db"); err == nil {
		before := listing(t, dir)
		r := must[*Reader](t)(OpenReadOnly(dir))
		compare(t, r, p)
		check(t, r.Close())
		if after := listing(t, dir); !slices.Equal(before, after) {
			t.Errorf("reading turned %v into %v", before, after)
		}
	} else if len(p.begun) > 0 {
		t.Errorf("the database is gone: %v", err)
	}
	s := openStore(t, dir)
	defer func() { check(t, s.Close()) }()
	compare(t, s.Reader, p)
	must[[]reconcile.Release](t)(s.Interrupt(t.Context()))
	for _, name := range listing(t, dir) {
		if strings.Contains(name, "new") || strings.Contains(name, "corrupt") {
			t.Errorf("left behind: %s", name)
		}
	}
}

func compare(t *testing.T, r *Reader, p promise) {
	t.Helper()
	have := map[int64]reconcile.Release{}
	for _, rel := range must[[]reconcile.Release](t)(r.Releases(t.Context(), "shop", 0)) {
		have[rel.Seq] = rel
	}
	for _, seq := range p.begun {
		if _, ok := have[seq]; !ok {
			t.Errorf("#%d began and is lost", seq)
		}
	}
	for _, seq := range p.finished {
		if rel := have[seq]; rel.Outcome != reconcile.Succeeded || len(rel.Services) != 1 || string(rel.Project) != "name: shop" {
			t.Errorf("#%d succeeded and is on record as %+v", seq, rel)
		}
	}
	if p.event > 0 {
		if last := must[[]reconcile.Event](t)(r.LastEvents(t.Context(), "", 1)); len(last) != 1 || last[0].ID < p.event {
			t.Errorf("event %d is lost: %v", p.event, last)
		}
	}
}
