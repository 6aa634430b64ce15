package state

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"davit/reconcile"
)

func delivery(id string) reconcile.Delivery {
	return reconcile.Delivery{ID: id, Target: "ops", Created: noon, Due: noon,
		Event: reconcile.Event{ID: 1, At: noon, Kind: reconcile.EventHeld, Stack: "shop", Message: "held"}}
}

func due(t *testing.T, s *Store, now time.Time) []string {
	t.Helper()
	var ids []string
	for _, d := range must[[]reconcile.Delivery](t)(s.Due(t.Context(), "ops", now, 10_000)) {
		ids = append(ids, d.ID)
	}
	return ids
}

func status(t *testing.T, s *Store, id string) (status, note string) {
	t.Helper()
	check(t, s.writer.QueryRow(`SELECT status, note FROM outbox WHERE id = ?`, id).Scan(&status, &note))
	return status, note
}

func TestADeliveryWaitsUntilItIsSettled(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	later := delivery("b")
	later.Due = noon.Add(time.Minute)
	other := delivery("x")
	other.Target = "chat"
	for _, d := range []reconcile.Delivery{delivery("a"), later, other} {
		check(t, s.Enqueue(t.Context(), d))
	}
	if got := must[[]reconcile.Delivery](t)(s.Due(t.Context(), "ops", noon, 9)); !reflect.DeepEqual(got, []reconcile.Delivery{delivery("a")}) {
		t.Errorf("due are %+v", got)
	}
	check(t, s.Failed(t.Context(), "a", noon.Add(2*time.Minute), "connection refused"))
	if got := due(t, s, noon.Add(time.Minute)); !reflect.DeepEqual(got, []string{"b"}) {
		t.Errorf("due are %v", got)
	}
	check(t, s.Delivered(t.Context(), "b"))
	check(t, s.Close())

	s = openStore(t, dir)
	got := must[[]reconcile.Delivery](t)(s.Due(t.Context(), "ops", noon.Add(time.Hour), 9))
	if len(got) != 1 || got[0].ID != "a" || got[0].Attempts != 1 || !got[0].Due.Equal(noon.Add(2*time.Minute)) {
		t.Errorf("after a restart, due are %+v", got)
	}
	check(t, s.Failed(t.Context(), "a", time.Time{}, "answered 410"))
	if got := due(t, s, noon.Add(time.Hour)); len(got) != 0 {
		t.Errorf("given up and due: %v", got)
	}
	if st, note := status(t, s, "a"); st != "dropped" || note != "answered 410" {
		t.Errorf("a is %s: %s", st, note)
	}
	if st, _ := status(t, s, "b"); st != "delivered" {
		t.Errorf("b is %s", st)
	}
}

func TestALateVerdictDoesNotChangeWhatIsSettled(t *testing.T) {
	s := openStore(t, t.TempDir())
	check(t, s.Enqueue(t.Context(), delivery("a")))
	check(t, s.Delivered(t.Context(), "a"))
	check(t, s.Failed(t.Context(), "a", noon, "late"))
	if st, _ := status(t, s, "a"); st != "delivered" {
		t.Errorf("a is %s", st)
	}
	check(t, s.Delivered(t.Context(), "unknown"))
}

func TestARepetitionIsDroppedAndAReturnIsNot(t *testing.T) {
	s := openStore(t, t.TempDir())
	for _, c := range []struct {
		id, key, target, stack string
		after                  time.Duration
	}{
		{id: "failed", key: "f", target: "ops", stack: "shop"},
		{id: "repetition", key: "f", target: "ops", stack: "shop", after: 9 * time.Minute},
		{id: "other stack", key: "g", target: "ops", stack: "blog"},
		{id: "repetition past another stack", key: "f", target: "ops", stack: "shop", after: 9 * time.Minute},
		{id: "other target", key: "f", target: "chat", stack: "shop"},
		{id: "recovered", key: "r", target: "ops", stack: "shop", after: 2 * time.Minute},
		{id: "failed again", key: "f", target: "ops", stack: "shop", after: 3 * time.Minute},
		{id: "much later", key: "f", target: "ops", stack: "shop", after: 13 * time.Minute},
		{id: "no key", target: "ops", stack: "shop"},
		{id: "no key again", target: "ops", stack: "shop"},
	} {
		d := delivery(c.id)
		d.Key, d.Target, d.Event.Stack, d.Window = c.key, c.target, c.stack, 10*time.Minute
		d.Created = noon.Add(c.after)
		d.Due = d.Created
		check(t, s.Enqueue(t.Context(), d))
		if c.id == "failed" {
			check(t, s.Delivered(t.Context(), "failed")) // having been sent is no reason to repeat it
		}
	}
	want := []string{"other stack", "recovered", "failed again", "much later", "no key", "no key again"}
	if got := due(t, s, noon.Add(time.Hour)); !reflect.DeepEqual(got, want) {
		t.Errorf("due are %q, want %q", got, want)
	}
}

func TestAnEventAndItsDeliveriesAreRecordedTogetherOrNotAtAll(t *testing.T) {
	s := openStore(t, t.TempDir())
	e := reconcile.Event{At: noon, Kind: reconcile.EventHeld, Stack: "shop"}
	d := delivery("a")
	d.Event = reconcile.Event{}
	stored := must[reconcile.Event](t)(s.AppendNotified(t.Context(), e, []reconcile.Delivery{d}))
	got := must[[]reconcile.Delivery](t)(s.Due(t.Context(), "ops", noon, 9))
	if len(got) != 1 || got[0].Event != stored || stored.ID == 0 {
		t.Errorf("due are %+v, the event is %+v", got, stored)
	}
	// The id is taken: the event must not stay either.
	if _, err := s.AppendNotified(t.Context(), e, []reconcile.Delivery{d}); err == nil {
		t.Fatal("one id was enqueued twice")
	}
	if events := must[[]reconcile.Event](t)(s.Events(t.Context(), "", 0, 0)); len(events) != 1 {
		t.Errorf("events are %+v", events)
	}
}

func TestTheOutboxIsBoundedAndSaysWhatItDropped(t *testing.T) {
	s := openStore(t, t.TempDir())
	old := delivery("forgotten")
	old.Target, old.Created = "gone", noon.Add(-maxWait-time.Second)
	check(t, s.Enqueue(t.Context(), old))
	var list []reconcile.Delivery
	for i := range maxPending + 2*outboxSlack {
		list = append(list, delivery(fmt.Sprintf("d%d", i)))
	}
	must[reconcile.Event](t)(s.AppendNotified(t.Context(), reconcile.Event{At: noon}, list))
	if got := due(t, s, noon); len(got) < maxPending || len(got) >= maxPending+outboxSlack || got[0] == "d0" {
		t.Errorf("%d are waiting, first %s", len(got), got[0])
	}
	if st, note := status(t, s, "d0"); st != "dropped" || !strings.Contains(note, "too many") {
		t.Errorf("d0 is %s: %s", st, note)
	}
	if st, note := status(t, s, "forgotten"); st != "dropped" || !strings.Contains(note, "too long") {
		t.Errorf("forgotten is %s: %s", st, note)
	}
	_, err := s.writer.Exec(`UPDATE outbox SET status = 'delivered'`)
	check(t, err)
	for i := range outboxSlack {
		check(t, s.Enqueue(t.Context(), delivery(fmt.Sprintf("last%d", i))))
	}
	var n int
	check(t, s.writer.QueryRow(`SELECT count(*) FROM outbox`).Scan(&n))
	if n < keepSettled || n > keepSettled+2*outboxSlack {
		t.Errorf("%d deliveries are kept", n)
	}
}
