package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"davit/reconcile"
)

// listing is the names in dir and below.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func readSeqs(t *testing.T, r *Reader, stack string) []int64 {
	t.Helper()
	var seqs []int64
	for _, rel := range must[[]reconcile.Release](t)(r.Releases(t.Context(), stack, 0)) {
		seqs = append(seqs, rel.Seq)
	}
	return seqs
}

func TestAReaderSeesWhatTheRunningAgentWrites(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	begin(t, s, "shop")
	before := listing(t, dir)
	r := must[*Reader](t)(OpenReadOnly(dir))
	defer r.Close()
	if got := readSeqs(t, r, "shop"); !slices.Equal(got, []int64{1}) {
		t.Errorf("read %v", got)
	}
	begin(t, s, "shop")
	got := must[[]reconcile.Release](t)(r.Releases(t.Context(), "shop", 0))
	if len(got) != 2 || string(got[0].Project) != "name: shop" {
		t.Errorf("read %+v", got)
	}
	if after := listing(t, dir); !slices.Equal(before, after) {
		t.Errorf("reading turned %v into %v", before, after)
	}
}

func TestAReaderWorksAfterACleanEndAndCreatesNothing(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	begin(t, s, "shop")
	check(t, s.Close())
	check(t, os.Remove(dir+"/host.key"))
	before := listing(t, dir)
	if slices.Contains(before, "state.db-wal") {
		t.Fatalf("a clean end leaves a log: %v", before)
	}
	r := must[*Reader](t)(OpenReadOnly(dir))
	got := must[[]reconcile.Release](t)(r.Releases(t.Context(), "shop", 0))
	if len(got) != 1 || got[0].Project != nil {
		t.Errorf("read %+v", got)
	}
	check(t, r.Close())
	if after := listing(t, dir); !slices.Equal(before, after) {
		t.Errorf("reading turned %v into %v", before, after)
	}
}

func TestALogWithoutItsIndexIsAnErrorWithAHintForAReader(t *testing.T) {
	running, copied := t.TempDir(), t.TempDir()
	s := openStore(t, running)
	begin(t, s, "shop")
	check(t, os.CopyFS(copied, os.DirFS(running)))
	check(t, os.Remove(copied+"/state.db-shm"))
	before := listing(t, copied)
	if _, err := OpenReadOnly(copied); err == nil || reconcile.Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, reconcile.Hint(err))
	}
	if after := listing(t, copied); !slices.Equal(before, after) {
		t.Errorf("reading turned %v into %v", before, after)
	}
	works(t, openStore(t, copied), 1) // which loses nothing
}

func TestWithoutADatabaseAReaderSaysSoAndCreatesNothing(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenReadOnly(dir)
	if err == nil || reconcile.Hint(err) == "" {
		t.Errorf("got %v", err)
	}
	if after := listing(t, dir); len(after) != 0 {
		t.Errorf("made %v", after)
	}
	if _, err := OpenReadOnly(dir + "/none"); err == nil {
		t.Error("a directory that does not exist was read")
	}
}

func TestADamagedDatabaseIsAnErrorWithAHintForAReader(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(dir+"/state.db", []byte("garbage, and enough of it to be looked at"), 0o600))
	_, err := OpenReadOnly(dir)
	if err == nil || reconcile.Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, reconcile.Hint(err))
	}
}

// readerDir, when set in the environment, makes the test binary read that
// directory over and over until its standard input ends. It is a process of its
// own, as `davit history` is: within one process SQLite shares what it has open.
const readerDir = "STATE_TEST_READER_DIR"

func readOverAndOver(dir string) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends when the parent says so or dies
	}()
	for seen, reads := 0, 0; ; reads++ {
		r, err := OpenReadOnly(dir)
		if err != nil {
			return err
		}
		releases, err := r.Releases(context.Background(), "shop", 0)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		if len(releases) < seen {
			return fmt.Errorf("%d releases were seen, and then %d", seen, len(releases))
		}
		seen = len(releases)
		select {
		case <-ended:
			fmt.Println("reads", reads)
			return nil
		default:
		}
	}
}

func TestAReaderBearsAnAgentThatComesAndGoes(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	begin(t, s, "shop")
	check(t, s.Close())
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), readerDir+"="+dir)
	stdin := must[io.WriteCloser](t)(cmd.StdinPipe())
	var said bytes.Buffer
	cmd.Stdout = &said
	check(t, cmd.Start())
	for range 25 {
		s := openStore(t, dir)
		begin(t, s, "shop")
		check(t, s.Close())
	}
	check(t, stdin.Close())
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, said.String())
	}
	t.Log(strings.TrimSpace(said.String()))
}
