package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"davit/reconcile"
)

// Releases returns a stack's releases, newest first; limit 0 means all. Project is
// nil where the host key is missing or is not the one it was sealed with: such a
// release can be shown and not restored offline.
func (r *Reader) Releases(ctx context.Context, stack string, limit int) ([]reconcile.Release, error) {
	var releases []reconcile.Release
	err := r.view(ctx, "read releases of "+stack, func(ctx context.Context, tx *sql.Tx) (err error) {
		if releases, err = readReleases(ctx, tx, stack, limit); err != nil {
			return err
		}
		return r.unsealProjects(ctx, tx, stack, releases)
	})
	return releases, err
}

// Stacks names every stack with a release, sorted.
func (r *Reader) Stacks(ctx context.Context) ([]string, error) {
	var stacks []string
	err := r.view(ctx, "list stacks", func(ctx context.Context, tx *sql.Tx) (err error) {
		stacks, err = names(ctx, tx, `SELECT DISTINCT stack FROM releases ORDER BY stack`)
		return err
	})
	return stacks, err
}

// readReleases reads everything but the projects. limit <= 0 means all.
func readReleases(ctx context.Context, tx *sql.Tx, stack string, limit int) ([]reconcile.Release, error) {
	if limit <= 0 {
		limit = -1
	}
	var releases []reconcile.Release
	err := each(ctx, tx, func(rows *sql.Rows) error {
		r, err := scanRelease(rows)
		releases = append(releases, r)
		return err
	}, `SELECT stack, seq, kind, version, revision, commit_id, author, subject, spec, hash, outcome, reason,
		failure, triggered_by, actor, restores, rollback_of, started, finished
		FROM releases WHERE stack = ? ORDER BY seq DESC LIMIT ?`, stack, limit)
	if err != nil || len(releases) == 0 {
		return nil, err
	}
	if err := readRecoveries(ctx, tx, releases); err != nil {
		return nil, err
	}
	return releases, readServices(ctx, tx, releases)
}

func scanRelease(rows *sql.Rows) (reconcile.Release, error) {
	var r reconcile.Release
	var kind, outcome, trigger string
	err := rows.Scan(&r.Stack, &r.Seq, &kind, &r.Version, &r.Revision, &r.Commit, &r.Author, &r.Subject,
		&r.Spec, &r.Hash, &outcome, &r.Reason, &r.Failure, &trigger, &r.Actor, &r.Restores, &r.RollbackOf,
		(*stamp)(&r.Started), (*stamp)(&r.Finished))
	if err != nil {
		return r, err
	}
	if r.Kind, err = reconcile.ParseReleaseKind(kind); err != nil {
		return r, fmt.Errorf("#%d: %w", r.Seq, err)
	}
	if r.Outcome, err = reconcile.ParseOutcome(outcome); err != nil {
		return r, fmt.Errorf("#%d: %w", r.Seq, err)
	}
	if r.Trigger, err = reconcile.ParseTrigger(trigger); err != nil {
		return r, fmt.Errorf("#%d: %w", r.Seq, err)
	}
	return r, nil
}

// readServices fills in the services of releases, which are of one stack and
// sorted newest first.
func readServices(ctx context.Context, tx *sql.Tx, releases []reconcile.Release) error {
	stack, oldest := releases[0].Stack, releases[len(releases)-1].Seq
	bySeq := map[int64]*reconcile.Release{}
	for i := range releases {
		bySeq[releases[i].Seq] = &releases[i]
	}
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var s reconcile.ServiceRecord
		var seq int64
		var volumes, data []byte
		err := rows.Scan(&seq, &s.Name, &s.Spec, &s.Image.Ref, &s.Image.Digest, &s.Image.ID, &volumes,
			&s.Image.Healthcheck, &s.Completed, &s.Outcome, &s.Logs, &data, &s.Image.Platform, (*stamp)(&s.Image.Resolved), &s.Image.Built)
		if err == nil && volumes != nil {
			err = json.Unmarshal(volumes, &s.Image.Volumes)
		}
		if err == nil && data != nil {
			err = json.Unmarshal(data, &s.Data)
		}
		if r := bySeq[seq]; err == nil && r != nil {
			r.Services = append(r.Services, s)
		}
		return err
	}, `SELECT seq, name, spec, image, digest, image_id, volumes, healthcheck, completed, outcome, logs, data, platform, resolved, built
		FROM services WHERE stack = ? AND seq >= ? ORDER BY seq, place`, stack, oldest)
	if err != nil {
		return err
	}
	return each(ctx, tx, func(rows *sql.Rows) error {
		var seq int64
		var service int
		var id string
		var failed bool
		if err := rows.Scan(&seq, &service, &id, &failed); err != nil {
			return err
		}
		r := bySeq[seq]
		if r == nil || service < 0 || service >= len(r.Services) {
			return fmt.Errorf("container %s belongs to no service of #%d", id, seq)
		}
		list := &r.Services[service].Containers
		if failed {
			list = &r.Services[service].Failed
		}
		*list = append(*list, id)
		return nil
	}, `SELECT seq, service, id, failed FROM containers WHERE stack = ? AND seq >= ? ORDER BY seq, service, place`, stack, oldest)
}

// unsealProjects fills in the projects of releases, which are of one stack.
// Releases that share a project share its bytes.
func (r *Reader) unsealProjects(ctx context.Context, tx *sql.Tx, stack string, releases []reconcile.Release) error {
	if r.vault == nil || len(releases) == 0 {
		return nil
	}
	oldest := releases[len(releases)-1].Seq
	projects := map[string][]byte{}
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var id string
		var sealed []byte
		if err := rows.Scan(&id, &sealed); err != nil {
			return err
		}
		if plain, err := r.vault.unseal(id, sealed); err == nil {
			projects[id] = plain
		}
		return nil
	}, `SELECT id, sealed FROM projects WHERE id IN
		(SELECT project FROM releases WHERE stack = ? AND seq >= ?)`, stack, oldest)
	if err != nil {
		return err
	}
	return each(ctx, tx, func(rows *sql.Rows) error {
		var seq int64
		var id string
		if err := rows.Scan(&seq, &id); err != nil {
			return err
		}
		for i := range releases {
			if releases[i].Seq == seq {
				releases[i].Project = projects[id]
			}
		}
		return nil
	}, `SELECT seq, project FROM releases WHERE stack = ? AND seq >= ? AND project IS NOT NULL`, stack, oldest)
}
