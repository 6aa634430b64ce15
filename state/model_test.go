package state

import (
	"errors"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"davit/reconcile"
)

// model is what the store is meant to be: maps.
type model struct {
	releases map[string][]reconcile.Release // oldest first
	last     map[string]int64
	controls map[string]reconcile.Controls
}

// machine runs the store and the model side by side.
type machine struct {
	dir   string
	store *Store
	model model
}

var modelStacks = []string{"shop", "blog", "a'b\x00ü"}

func (m *machine) open(t *rapid.T) {
	s, recovery, err := Open(Options{Dir: m.dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil || recovery.Happened() {
		t.Fatalf("open: %v, %s", err, recovery)
	}
	m.store = s
}

func (m *machine) begin(t *rapid.T) {
	stack := rapid.SampledFrom(modelStacks).Draw(t, "stack")
	r := reconcile.Release{
		Stack: stack, Started: noon, Spec: rapid.String().Draw(t, "spec"),
		Kind: reconcile.ReleaseKind(rapid.IntRange(0, 7).Draw(t, "kind")), Project: rapid.SliceOf(rapid.Byte()).Draw(t, "project"),
	}
	got, err := m.store.Begin(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	m.model.last[stack]++
	r.Seq = m.model.last[stack]
	if got.Seq != r.Seq {
		t.Fatalf("#%d begins, want #%d", got.Seq, r.Seq)
	}
	m.model.releases[stack] = append(m.model.releases[stack], r)
}

func (m *machine) finish(t *rapid.T) {
	stack := rapid.SampledFrom(modelStacks).Draw(t, "stack")
	seq := rapid.Int64Range(0, m.model.last[stack]+1).Draw(t, "seq")
	i := slices.IndexFunc(m.model.releases[stack], func(r reconcile.Release) bool { return r.Seq == seq })
	r := reconcile.Release{Stack: stack, Seq: seq}
	if i >= 0 {
		r = m.model.releases[stack][i]
	}
	was := r.Outcome
	r.Outcome = reconcile.Outcome(rapid.IntRange(1, 6).Draw(t, "outcome"))
	r.Finished, r.Failure = noon, rapid.String().Draw(t, "failure")
	r.Services = []reconcile.ServiceRecord{{Name: "web", Containers: []string{"c"}}}
	err := m.store.Finish(t.Context(), r)
	switch {
	case i < 0:
		if !errors.Is(err, ErrNoRelease) {
			t.Fatalf("finish of nothing: %v", err)
		}
	case was != reconcile.OutcomeRunning:
		if !errors.Is(err, ErrFinished) {
			t.Fatalf("second finish: %v", err)
		}
	case err != nil:
		t.Fatal(err)
	default:
		m.model.releases[stack][i] = r
	}
}

func (m *machine) hold(t *rapid.T) {
	stack := rapid.SampledFrom(modelStacks).Draw(t, "stack")
	var h *reconcile.Hold
	if rapid.Bool().Draw(t, "set") {
		h = &reconcile.Hold{Stack: stack, Spec: rapid.String().Draw(t, "spec"), Since: noon, Paused: rapid.Bool().Draw(t, "paused")}
	}
	if err := m.store.SetHold(t.Context(), stack, h); err != nil {
		t.Fatal(err)
	}
	c := m.model.controls[stack]
	c.Hold = h
	m.model.controls[stack] = c
}

func (m *machine) pin(t *rapid.T) {
	stack := rapid.SampledFrom(modelStacks).Draw(t, "stack")
	var p *reconcile.Pin
	if rapid.Bool().Draw(t, "set") {
		p = &reconcile.Pin{Stack: stack, Seq: rapid.Int64Range(1, 9).Draw(t, "seq"), Since: noon}
	}
	if err := m.store.SetPin(t.Context(), stack, p); err != nil {
		t.Fatal(err)
	}
	c := m.model.controls[stack]
	c.Pin = p
	m.model.controls[stack] = c
}

func (m *machine) forget(t *rapid.T) {
	stack := rapid.SampledFrom(modelStacks).Draw(t, "stack")
	if err := m.store.Forget(t.Context(), stack); err != nil {
		t.Fatal(err)
	}
	delete(m.model.controls, stack)
}

func (m *machine) restart(t *rapid.T) {
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	if _, err := m.store.Interrupt(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, releases := range m.model.releases {
		for i, r := range releases {
			if r.Running() {
				releases[i].Outcome = reconcile.Interrupted
			}
		}
	}
}

func (m *machine) agree(t *rapid.T) {
	for _, stack := range modelStacks {
		got, err := m.store.Releases(t.Context(), stack, 0)
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(got)
		if len(got) != len(m.model.releases[stack]) {
			t.Fatalf("%q has %d releases, want %d", stack, len(got), len(m.model.releases[stack]))
		}
		for i, want := range m.model.releases[stack] {
			if want.Outcome == reconcile.Interrupted && got[i].Outcome == want.Outcome {
				got[i].Failure, got[i].Finished = want.Failure, want.Finished // in the store's own words
			}
			if len(want.Project) == 0 && len(got[i].Project) == 0 {
				got[i].Project = want.Project
			}
			if !reflect.DeepEqual(got[i], want) {
				t.Fatalf("%q has\n%+v\nwant\n%+v", stack, got[i], want)
			}
		}
		controls, err := m.store.Controls(t.Context(), stack)
		if err != nil || !reflect.DeepEqual(controls, m.model.controls[stack]) {
			t.Fatalf("%q has %+v, want %+v (%v)", stack, controls, m.model.controls[stack], err)
		}
	}
}

func TestTheStoreBehavesLikeItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		m := &machine{dir: dir, model: model{
			releases: map[string][]reconcile.Release{}, last: map[string]int64{}, controls: map[string]reconcile.Controls{},
		}}
		m.open(rt)
		defer func() { _ = m.store.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"begin": m.begin, "finish": m.finish, "hold": m.hold, "pin": m.pin,
			"forget": m.forget, "restart": m.restart, "": m.agree,
		})
	})
}
