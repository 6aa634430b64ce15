package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/reconcile"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, recovery := openAny(t, dir)
	if recovery.Happened() {
		t.Fatalf("a sound directory was recovered: %s", recovery)
	}
	return s
}

// openAny opens dir whatever its condition, and closes it at the end of the test.
func openAny(t *testing.T, dir string) (*Store, Recovery) {
	t.Helper()
	s, recovery, err := Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s, recovery
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func begin(t *testing.T, s *Store, stack string) reconcile.Release {
	t.Helper()
	return must[reconcile.Release](t)(s.Begin(t.Context(), reconcile.Release{
		Stack: stack, Version: "v1.0.0", Spec: "v1:aa", Started: noon, Project: []byte("name: " + stack),
		Services: []reconcile.ServiceRecord{{Name: "web", Spec: "v1:bb", Image: reconcile.Image{Ref: "web:1", ID: "sha256:1"}}},
	}))
}

func finish(t *testing.T, s *Store, r reconcile.Release, o reconcile.Outcome) {
	t.Helper()
	r.Outcome, r.Finished = o, noon.Add(time.Minute)
	check(t, s.Finish(t.Context(), r))
}

// fill sets every field below v to a value of its own that is not zero, so that
// a field which is added later and not stored is noticed.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(noon.Add(time.Duration(*n) * time.Hour)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer: // made anew from what is stored
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", *n))
	case reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Int:
		v.SetInt(1) // an enumeration
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	default:
		panic("no value for a " + v.Type().String())
	}
}

func filled[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem(), new(int))
	return v
}

func TestEveryFieldOfAReleaseIsStored(t *testing.T) {
	s := openStore(t, t.TempDir())
	want := filled[reconcile.Release]()
	for i := range want.Services {
		// Facts of the moment.
		want.Services[i].Image.Local, want.Services[i].Image.Build = false, nil
	}
	want.Seq = 0
	begun := must[reconcile.Release](t)(s.Begin(t.Context(), want))
	if begun.Seq != 1 || !begun.Running() || !begun.Finished.IsZero() {
		t.Errorf("a release begins as #1 and running, not as %+v", begun)
	}
	want.Seq = begun.Seq
	check(t, s.Finish(t.Context(), want))
	got := must[[]reconcile.Release](t)(s.Releases(t.Context(), want.Stack, 0))
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("stored\n%+v\nread\n%+v", want, got)
	}
}

func TestEveryFieldOfADecisionIsStored(t *testing.T) {
	s := openStore(t, t.TempDir())
	hold, pin, suspension := filled[reconcile.Hold](), filled[reconcile.Pin](), filled[reconcile.Suspension]()
	hold.Stack, pin.Stack, suspension.Stack = "shop", "shop", "shop"
	check(t, s.SetHold(t.Context(), "shop", &hold))
	check(t, s.SetPin(t.Context(), "shop", &pin))
	check(t, s.SetSuspension(t.Context(), "shop", &suspension))
	stops := []reconcile.Stop{filled[reconcile.Stop]()}
	check(t, s.SetStops(t.Context(), "shop", stops))

	got := must[reconcile.Controls](t)(s.Controls(t.Context(), "shop"))
	want := reconcile.Controls{Hold: &hold, Pin: &pin, Suspension: &suspension, Stops: stops}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("stored %+v %+v %+v, read %+v %+v %+v", want.Hold, want.Pin, want.Suspension, got.Hold, got.Pin, got.Suspension)
	}
	check(t, s.SetHold(t.Context(), "shop", nil))
	check(t, s.SetPin(t.Context(), "shop", nil))
	check(t, s.SetSuspension(t.Context(), "shop", nil))
	check(t, s.SetStops(t.Context(), "shop", nil))
	if got := must[reconcile.Controls](t)(s.Controls(t.Context(), "shop")); !reflect.DeepEqual(got, reconcile.Controls{}) {
		t.Errorf("after nil, %+v still stands", got)
	}
}

func TestEveryFieldOfAnEventIsStored(t *testing.T) {
	s := openStore(t, t.TempDir())
	want := filled[reconcile.Event]()
	want.ID = must[reconcile.Event](t)(s.AppendEvent(t.Context(), want)).ID
	got := must[[]reconcile.Event](t)(s.Events(t.Context(), want.Stack, 0, 0))
	if want.ID != 1 || !reflect.DeepEqual(got, []reconcile.Event{want}) {
		t.Errorf("stored %+v, read %+v", want, got)
	}
}

func TestAReleaseIsFinishedOnce(t *testing.T) {
	s := openStore(t, t.TempDir())
	r := begin(t, s, "shop")
	if err := s.Finish(t.Context(), r); err == nil {
		t.Error("a release without an outcome was finished")
	}
	finish(t, s, r, reconcile.Failed)
	r.Outcome = reconcile.Succeeded
	if err := s.Finish(t.Context(), r); !errors.Is(err, ErrFinished) {
		t.Errorf("finished twice: %v", err)
	}
	r.Seq = 99
	if err := s.Finish(t.Context(), r); !errors.Is(err, ErrNoRelease) {
		t.Errorf("finished what never began: %v", err)
	}
	if got := must[[]reconcile.Release](t)(s.Releases(t.Context(), "shop", 0)); len(got) != 1 || got[0].Outcome != reconcile.Failed {
		t.Errorf("the first outcome did not stay: %+v", got)
	}
}

func TestFinishWithoutServicesKeepsThoseOfTheBeginning(t *testing.T) {
	s := openStore(t, t.TempDir())
	r := begin(t, s, "shop")
	want := r.Services
	r.Services = nil
	finish(t, s, r, reconcile.Cancelled)
	if got := must[[]reconcile.Release](t)(s.Releases(t.Context(), "shop", 1)); !reflect.DeepEqual(got[0].Services, want) {
		t.Errorf("services became %+v", got[0].Services)
	}
}

func TestReleasesAreNewestFirstAndLimited(t *testing.T) {
	s := openStore(t, t.TempDir())
	for range 5 {
		finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
		finish(t, s, begin(t, s, "blog"), reconcile.Succeeded)
	}
	for limit, want := range map[int][]int64{0: {5, 4, 3, 2, 1}, 2: {5, 4}, 9: {5, 4, 3, 2, 1}} {
		var seqs []int64
		for _, r := range must[[]reconcile.Release](t)(s.Releases(t.Context(), "shop", limit)) {
			seqs = append(seqs, r.Seq)
			if len(r.Services) != 1 || string(r.Project) != "name: shop" {
				t.Errorf("#%d lost its services or its project: %+v", r.Seq, r)
			}
		}
		if !slices.Equal(seqs, want) {
			t.Errorf("limit %d gives %v, want %v", limit, seqs, want)
		}
	}
	if got := must[[]string](t)(s.Stacks(t.Context())); !slices.Equal(got, []string{"blog", "shop"}) {
		t.Errorf("stacks are %v", got)
	}
	if got := must[[]reconcile.Release](t)(s.Releases(t.Context(), "none", 0)); len(got) != 0 {
		t.Errorf("an unknown stack has releases: %v", got)
	}
}

func TestInterruptEndsWhatTheLastAgentLeft(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
	open := begin(t, s, "shop")
	begin(t, s, "blog")
	step := reconcile.Entry{Stack: "shop", Seq: open.Seq, Step: 1, Action: "pull web:1", At: noon}
	check(t, s.Intend(t.Context(), step))
	check(t, s.Done(t.Context(), step))
	step.Step, step.Action = 2, "create web/1"
	check(t, s.Intend(t.Context(), step))
	check(t, s.Close())

	s = openStore(t, dir)
	got := must[[]reconcile.Release](t)(s.Interrupt(t.Context()))
	var said []string
	for _, r := range got {
		said = append(said, fmt.Sprintf("%s#%d %s: %s", r.Stack, r.Seq, r.Outcome, r.Failure))
	}
	want := []string{"blog#1 interrupted: the agent ended during it", "shop#2 interrupted: the agent ended during: create web/1"}
	if !slices.Equal(said, want) {
		t.Errorf("interrupted\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
	if again := must[[]reconcile.Release](t)(s.Interrupt(t.Context())); len(again) != 0 {
		t.Errorf("interrupted twice: %v", again)
	}
	stored := must[[]reconcile.Release](t)(s.Releases(t.Context(), "shop", 1))
	if stored[0].Outcome != reconcile.Interrupted || stored[0].Finished.IsZero() || stored[0].Failure != got[1].Failure {
		t.Errorf("on record is %+v", stored[0])
	}
}

func TestForgetEndsDecisionsAndKeepsHistory(t *testing.T) {
	s := openStore(t, t.TempDir())
	finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
	check(t, s.SetHold(t.Context(), "shop", &reconcile.Hold{Spec: "v1:x", Since: noon}))
	check(t, s.SetPin(t.Context(), "shop", &reconcile.Pin{Seq: 1, Since: noon}))
	check(t, s.SetSuspension(t.Context(), "shop", &reconcile.Suspension{Since: noon}))
	check(t, s.SetSuspension(t.Context(), "blog", &reconcile.Suspension{Since: noon}))
	check(t, s.SetStops(t.Context(), "shop", []reconcile.Stop{{Service: "web", Since: noon}}))
	check(t, s.Forget(t.Context(), "shop"))
	if got := must[reconcile.Controls](t)(s.Controls(t.Context(), "shop")); !reflect.DeepEqual(got, reconcile.Controls{}) {
		t.Errorf("%+v was not forgotten", got)
	}
	if got := must[reconcile.Controls](t)(s.Controls(t.Context(), "blog")); got.Suspension == nil {
		t.Error("another stack's decision was forgotten")
	}
	if r := begin(t, s, "shop"); r.Seq != 2 {
		t.Errorf("a stack that came back starts at #%d", r.Seq)
	}
}

func TestTheJournalKnowsWhatEndedAndHow(t *testing.T) {
	s := openStore(t, t.TempDir())
	e := reconcile.Entry{Stack: "shop", Seq: 1, Step: 1, Action: "create web/1", At: noon}
	check(t, s.Intend(t.Context(), e))
	e.Container, e.Err, e.At = "c1", "no such image", noon.Add(time.Second)
	check(t, s.Done(t.Context(), e))
	if err := s.Done(t.Context(), e); err == nil {
		t.Error("a step ended that had not been intended")
	}
	// The next pass plans anew and numbers its steps from 1 again.
	e = reconcile.Entry{Stack: "shop", Seq: 1, Step: 1, Action: "stop web/1", Container: "c0", At: noon}
	check(t, s.Intend(t.Context(), e))
	got := must[[]reconcile.JournalEntry](t)(s.Journal(t.Context(), "shop", 1))
	want := []reconcile.JournalEntry{
		{Entry: reconcile.Entry{Stack: "shop", Seq: 1, Step: 1, Action: "create web/1", Container: "c1", At: noon, Err: "no such image"}, Done: true},
		{Entry: e},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("journal is\n%+v\nwant\n%+v", got, want)
	}
}

func TestTheJournalOfOldReleasesIsDropped(t *testing.T) {
	s := openStore(t, t.TempDir())
	check(t, s.Intend(t.Context(), reconcile.Entry{Stack: "shop", Seq: 1, Step: 1, At: noon}))
	check(t, s.Intend(t.Context(), reconcile.Entry{Stack: "shop", Seq: 2, Step: 1, At: noon}))
	for range keepJournal + 1 {
		begin(t, s, "shop")
	}
	if got := must[[]reconcile.JournalEntry](t)(s.Journal(t.Context(), "shop", 1)); len(got) != 0 {
		t.Errorf("#1 is still in the journal: %v", got)
	}
	if got := must[[]reconcile.JournalEntry](t)(s.Journal(t.Context(), "shop", 2)); len(got) != 1 {
		t.Errorf("#2 is not in the journal")
	}
}

func TestACancelledContextForbidsBeginningsAndNotRecords(t *testing.T) {
	s := openStore(t, t.TempDir())
	r := begin(t, s, "shop")
	check(t, s.Intend(t.Context(), reconcile.Entry{Stack: "shop", Seq: 1, Step: 1, At: noon}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Begin(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("begin: %v", err)
	}
	if err := s.Intend(ctx, reconcile.Entry{Stack: "shop", Seq: 1, Step: 2, At: noon}); !errors.Is(err, context.Canceled) {
		t.Errorf("intend: %v", err)
	}
	check(t, s.Done(ctx, reconcile.Entry{Stack: "shop", Seq: 1, Step: 1, At: noon}))
	r.Outcome = reconcile.Superseded
	check(t, s.Finish(ctx, r))
	if _, err := s.AppendEvent(ctx, reconcile.Event{At: noon}); err != nil {
		t.Error(err)
	}
}

func TestWritersAndReadersDoNotDisturbEachOther(t *testing.T) {
	s := openStore(t, t.TempDir())
	const stacks, each = 4, 15
	var wg sync.WaitGroup
	for i := range stacks {
		stack := fmt.Sprintf("stack%d", i)
		wg.Go(func() {
			for range each {
				r, err := s.Begin(t.Context(), reconcile.Release{Stack: stack, Started: noon, Project: []byte(stack)})
				if err != nil {
					t.Error(err)
					return
				}
				r.Outcome = reconcile.Succeeded
				if err := s.Finish(t.Context(), r); err != nil {
					t.Error(err)
				}
				if _, err := s.AppendEvent(t.Context(), reconcile.Event{At: noon, Stack: stack}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range each {
				if _, err := s.Releases(t.Context(), stack, 0); err != nil {
					t.Error(err)
				}
				if _, err := s.Events(t.Context(), "", 0, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 3 {
			if _, err := s.Snapshot(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for i := range stacks {
		got := must[[]reconcile.Release](t)(s.Releases(t.Context(), fmt.Sprintf("stack%d", i), 0))
		if len(got) != each || got[0].Seq != each {
			t.Errorf("stack%d has %d releases, newest #%d", i, len(got), got[0].Seq)
		}
	}
}

func TestAPersonCanReadHistoryWithSQL(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
	var line string
	err := s.writer.QueryRow(`SELECT stack || '#' || seq || ' ' || kind || ' ' || version || ' ' || outcome || ' ' ||
		"trigger" || ' ' || started || ' ' || services FROM history`).Scan(&line)
	check(t, err)
	if want := "shop#1 deploy v1.0.0 succeeded poll 2026-11-21T12:00:00.123456789Z web=web:1"; line != want {
		t.Errorf("history says %q, want %q", line, want)
	}
	// Where the sqlite3 program is installed, it must agree, while we run.
	if sqlite3, err := exec.LookPath("sqlite3"); err == nil {
		out, err := exec.Command(sqlite3, "-readonly", directory(dir).database(), `SELECT seq, outcome FROM history`).CombinedOutput()
		if err != nil || string(out) != "1|succeeded\n" {
			t.Errorf("sqlite3 says %q, %v", out, err)
		}
	}
}

func TestTheDirectoryIsForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir() + "/new/data"
	s := openStore(t, dir)
	finish(t, s, begin(t, s, "shop"), reconcile.Succeeded)
	must[string](t)(s.Snapshot(t.Context()))
	check(t, s.Remember(t.Context(), "k", "v"))
	for _, p := range append([]string{dir, dir + "/state.db", dir + "/state.db-wal", dir + "/host.key", dir + "/davit.lock"},
		directory(dir).listSnapshots()...) {
		info, err := os.Stat(p)
		check(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", p, info.Mode())
		}
	}
}

func TestMemoryOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	if _, found, err := s.Recall(t.Context(), "source"); found || err != nil {
		t.Errorf("recalled what was never said: %v", err)
	}
	check(t, s.Remember(t.Context(), "source", `{"a":1}`))
	check(t, s.Remember(t.Context(), "source", `{"a":2}`))
	check(t, s.Close())
	s = openStore(t, dir)
	if v, found, err := s.Recall(t.Context(), "source"); !found || err != nil || v != `{"a":2}` {
		t.Errorf("recalled %q %v %v", v, found, err)
	}
}
