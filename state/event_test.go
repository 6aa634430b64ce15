package state

import (
	"context"
	"database/sql"
	"slices"
	"testing"

	"davit/reconcile"
)

func ids(events []reconcile.Event) []int64 {
	var list []int64
	for _, e := range events {
		list = append(list, e.ID)
	}
	return list
}

func TestEventsAreReadFromWhereTheReaderStopped(t *testing.T) {
	s := openStore(t, t.TempDir())
	for _, stack := range []string{"shop", "blog", "shop", "", "shop"} {
		must[reconcile.Event](t)(s.AppendEvent(t.Context(), reconcile.Event{At: noon, Stack: stack}))
	}
	cases := map[string]struct {
		got  []reconcile.Event
		want []int64
	}{
		"all of one stack": {must[[]reconcile.Event](t)(s.Events(t.Context(), "shop", 0, 0)), []int64{1, 3, 5}},
		"after an id":      {must[[]reconcile.Event](t)(s.Events(t.Context(), "shop", 1, 0)), []int64{3, 5}},
		"limited":          {must[[]reconcile.Event](t)(s.Events(t.Context(), "", 1, 2)), []int64{2, 3}},
		"past the end":     {must[[]reconcile.Event](t)(s.Events(t.Context(), "", 5, 2)), nil},
		"the last":         {must[[]reconcile.Event](t)(s.LastEvents(t.Context(), "", 2)), []int64{4, 5}},
		"the stack's last": {must[[]reconcile.Event](t)(s.LastEvents(t.Context(), "shop", 2)), []int64{3, 5}},
	}
	for name, c := range cases {
		if !slices.Equal(ids(c.got), c.want) {
			t.Errorf("%s: %v, want %v", name, ids(c.got), c.want)
		}
	}
}

func TestOldEventsGoAndIDsGoOn(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	const many = keepEvents + 3*eventSlack
	check(t, s.write(t.Context(), "fill", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO events (at, stack, service, kind, severity, message, seq, version, commit_id)
			SELECT '2026-11-21T12:00:00.000000000Z', 's', '', 'Drift', 'info', 'm', 0, '', '' FROM n`, many)
		return err
	}))
	var last reconcile.Event
	for range eventSlack {
		last = must[reconcile.Event](t)(s.AppendEvent(t.Context(), reconcile.Event{At: noon}))
	}
	if last.ID != many+eventSlack {
		t.Errorf("the newest id is %d", last.ID)
	}
	kept := must[[]reconcile.Event](t)(s.Events(t.Context(), "", 0, 0))
	if len(kept) < keepEvents || len(kept) >= keepEvents+eventSlack {
		t.Errorf("%d events are kept", len(kept))
	}
	_, err := s.writer.Exec(`DELETE FROM events`)
	check(t, err)
	check(t, s.Close())
	s = openStore(t, dir)
	if e := must[reconcile.Event](t)(s.AppendEvent(t.Context(), reconcile.Event{At: noon})); e.ID != last.ID+1 {
		t.Errorf("id %d follows %d", e.ID, last.ID)
	}
}
