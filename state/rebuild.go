package state

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"davit/reconcile"
)

// RebuiltReason is the reason of a release that Rebuild made.
const RebuiltReason = "rebuilt from container labels"

// Rebuild writes down what the labels of this davit's containers tell and the
// database does not know. Each stack that has containers and no release gets one
// release of kind adopt with the highest sequence number among its containers; it
// is good and holds, per service, what runs. Labels do not tell the project: its
// Spec, Hash and Project are empty, and whoever compares it with what is declared
// compares the specs of its services instead.
//
// For every stack, also one with releases, the next sequence number will be above
// all labels, because a restored snapshot may be older than the containers.
//
// It returns the releases that it made.
func (s *Store) Rebuild(ctx context.Context, observed reconcile.Observed, instance string) ([]reconcile.Release, error) {
	stacks := map[string][]reconcile.Container{}
	for _, c := range observed.Containers {
		if c.Instance == instance && instance != "" && c.Stack != "" && !c.OneOff {
			stacks[c.Stack] = append(stacks[c.Stack], c)
		}
	}
	var rebuilt []reconcile.Release
	err := s.write(ctx, "rebuild releases from labels", func(ctx context.Context, tx *sql.Tx) error {
		rebuilt = nil
		for _, stack := range slices.Sorted(maps.Keys(stacks)) {
			r := fromLabels(stack, stacks[stack], observed)
			if _, err := tx.ExecContext(ctx, `INSERT INTO stacks (name, last_seq) VALUES (?, ?)
				ON CONFLICT (name) DO UPDATE SET last_seq = max(last_seq, excluded.last_seq)`, stack, r.Seq); err != nil {
				return err
			}
			known, err := one(tx.QueryRowContext(ctx, `SELECT seq FROM releases WHERE stack = ? LIMIT 1`, stack), new(int64))
			if err != nil {
				return err
			}
			if known {
				continue
			}
			if err := s.insertRelease(ctx, tx, r); err != nil {
				return err
			}
			rebuilt = append(rebuilt, r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rebuilt, nil
}

func fromLabels(stack string, containers []reconcile.Container, observed reconcile.Observed) reconcile.Release {
	newest := slices.MaxFunc(containers, func(a, b reconcile.Container) int { return cmp.Compare(a.Release, b.Release) })
	at := observed.At
	if at.IsZero() {
		at = time.Now()
	}
	r := reconcile.Release{
		Stack:    stack,
		Seq:      max(1, newest.Release),
		Kind:     reconcile.KindAdopt,
		Outcome:  reconcile.Succeeded,
		Reason:   RebuiltReason,
		Trigger:  reconcile.TriggerStartup,
		Started:  at,
		Finished: at,
	}
	services := map[string][]reconcile.Container{}
	for _, c := range containers {
		services[c.Service] = append(services[c.Service], c)
	}
	version := int64(-1)
	for _, name := range slices.Sorted(maps.Keys(services)) {
		record, made, ok := serviceFromLabels(name, services[name])
		if !ok {
			continue
		}
		r.Services = append(r.Services, record)
		// A failed attempt leaves containers with a higher number: the version is
		// that of the newest one in service.
		if made.Release > version {
			version, r.Version = made.Release, made.Version
		}
	}
	return r
}

// serviceFromLabels records the newest release of a service that runs; where none
// runs, the newest one-shot that succeeded, so that it is not run again.
func serviceFromLabels(name string, containers []reconcile.Container) (_ reconcile.ServiceRecord, made reconcile.Container, ok bool) {
	outcome := "running"
	live := slices.DeleteFunc(slices.Clone(containers), func(c reconcile.Container) bool { return !c.Running() })
	if len(live) == 0 {
		outcome = "completed"
		live = slices.DeleteFunc(slices.Clone(containers), func(c reconcile.Container) bool {
			return c.State != reconcile.Exited || c.ExitCode != 0
		})
	}
	if len(live) == 0 {
		return reconcile.ServiceRecord{}, made, false
	}
	if inService := slices.DeleteFunc(slices.Clone(live), func(c reconcile.Container) bool { return !c.Findable() }); len(inService) > 0 {
		live = inService // and no running standby, which may well be newer
	}
	made = slices.MaxFunc(live, func(a, b reconcile.Container) int { return cmp.Compare(a.Release, b.Release) })
	record := reconcile.ServiceRecord{
		Name:      name,
		Spec:      made.Spec,
		Image:     reconcile.Image{Ref: made.ImageRef, ID: made.ImageID},
		Outcome:   outcome,
		Completed: !made.Running(),
	}
	for _, c := range live {
		if c.Release == made.Release {
			record.Containers = append(record.Containers, c.ID)
		}
	}
	return record, made, true
}
