package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"davit/cmd/internal/testbed"
)

// limit bounds the whole work on one file.
const limit = 3 * time.Minute

// run makes every specimen, compares and prints; the error says what is not good.
// Whatever becomes of it, the engine that the files are tried on is taken away.
func run(ctx context.Context, o options) (err error) {
	owner := testbed.NewOwner(ctx, os.Stderr)
	if !owner.Run(func() { err = o.run(owner) }) && err == nil {
		err = errors.New("the engine could not be used as it should be")
	}
	return err
}

func (o options) run(owner *testbed.Owner) error {
	ctx := owner.Context()
	b, err := newBench(owner, o.engine)
	if err != nil {
		return err
	}
	if err := b.identify(ctx, o); err != nil {
		return err
	}
	specimens, err := o.specimens()
	if err != nil {
		return err
	}
	switch {
	case o.update:
		return b.write(ctx, specimens, o.parallel)
	case o.verify:
		return b.verify(ctx, specimens, o.parallel)
	}
	r, err := b.judge(ctx, specimens, o.parallel)
	if err != nil {
		return err
	}
	return r.conclude(os.Stdout, o)
}

// identify finds out whether the records hold for this engine, and sees that Compose
// can be asked where it has to be.
func (b *bench) identify(ctx context.Context, o options) error {
	var err error
	if b.print, err = b.fingerprint(ctx); err != nil {
		return err
	}
	if b.live = o.dir != "" || o.update; !b.live {
		same, err := comparable(b.print)
		if err != nil {
			return err
		}
		if b.live = !same; b.live {
			fmt.Printf("The records are of another kind of engine than this one, API %s: Compose is asked itself.\n", b.print.APIVersion)
		}
	}
	if b.live || o.verify {
		b.composer, err = o.binary()
	}
	return err
}

// binary is Compose's, as an absolute path.
func (o options) binary() (string, error) {
	file, err := filepath.Abs(o.composer)
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil || o.composer == "" {
		return "", errors.Join(errors.New("no Compose to ask: run make composer and give -composer bin/composer"), err)
	}
	return file, nil
}

func (o options) specimens() ([]specimen, error) {
	if o.dir != "" {
		return foreign(o.dir, filepath.Join(home, "foreign"), o.only)
	}
	return ours(filepath.Join(home, "ours"), o.only)
}

// each lets Compose make every specimen, several at once.
func (b *bench) each(ctx context.Context, specimens []specimen, parallel int, do func(specimen, made) error) error {
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(parallel)
	for _, s := range specimens {
		work.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			m, err := b.theirs(ctx, s, true)
			if err != nil {
				return err
			}
			return do(s, m)
		})
	}
	return work.Wait()
}

// write asks Compose for every specimen and records what it makes.
func (b *bench) write(ctx context.Context, specimens []specimen, parallel int) error {
	if err := record(fingerprintFile, b.print); err != nil {
		return err
	}
	err := b.each(ctx, specimens, parallel, func(s specimen, m made) error { return record(s.name+".json", m) })
	if err == nil {
		fmt.Printf("%d records written\n", len(specimens))
	}
	return err
}

// verify asks Compose for every specimen and compares that with the record.
func (b *bench) verify(ctx context.Context, specimens []specimen, parallel int) error {
	if b.live {
		fmt.Println("The records cannot be verified on this engine.")
		return nil
	}
	var mu sync.Mutex
	var stale []string
	err := b.each(ctx, specimens, parallel, func(s specimen, m made) error {
		on, err := recorded(s.name)
		if err != nil || reflect.DeepEqual(on, m) {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		stale = append(stale, s.name)
		return nil
	})
	if err != nil {
		return err
	}
	if len(stale) > 0 {
		slices.Sort(stale)
		return fmt.Errorf("on record is something else than Compose makes of %s: run make fidelity-reference and read the difference", strings.Join(stale, ", "))
	}
	fmt.Printf("%d records are what Compose makes now\n", len(specimens))
	return nil
}

// judge makes every specimen with davit and compares.
func (b *bench) judge(ctx context.Context, specimens []specimen, parallel int) (report, error) {
	results := make([]result, len(specimens))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(parallel)
	for i, s := range specimens {
		work.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			theirs, err := b.theirs(ctx, s, b.live)
			if err != nil {
				return err
			}
			ours, err := b.byDavit(ctx, s)
			if err != nil {
				return fmt.Errorf("let davit make %s: %w", s.name, err)
			}
			s.expectation = s.on(b.print.APIVersion)
			results[i] = judged(s, ours, theirs)
			return nil
		})
	}
	err := work.Wait()
	return report{results: results}, err
}

// theirs is what Compose makes of a specimen.
func (b *bench) theirs(ctx context.Context, s specimen, live bool) (made, error) {
	if !live {
		return recorded(s.name)
	}
	m, err := b.byCompose(ctx, s)
	if err != nil {
		return m, fmt.Errorf("let Compose make %s: %w", s.name, err)
	}
	return throughJSON(m)
}
