package compose

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/hashicorp/go-multierror"
)

// validateOptions is what a tree of stacks is validated with.
type validateOptions struct {
	LoadOptions
	// Name names a stack in the root that has no name of its own. By default it
	// is the root's.
	Name string
	// EnvDir holds a STACK.env file for each stack that has one; "" for none. It
	// stands in for LoadOptions.HostEnvFile.
	EnvDir string
}

// validateTree loads every stack below path of root, as whoever validates a tree
// does, and returns every mistake of every file, or nil. LoadOptions.Root is not
// used.
func validateTree(ctx context.Context, root, path string, o validateOptions) error {
	if o.Name == "" {
		abs, err := filepath.Abs(root)
		if err != nil {
			return fmt.Errorf("validate %s: %w", root, err)
		}
		o.Name = filepath.Base(abs)
	}
	mistakes, other := &problems{}, &multierror.Error{ErrorFormat: oneEachLine}
	keep := func(err error) {
		found := Problems(err)
		for _, p := range found {
			mistakes.add(p)
		}
		if err != nil && len(found) == 0 {
			other.Errors = append(other.Errors, err)
		}
	}
	stacks, err := Discover(root, path, o.Name)
	keep(err)
	var projects []*Project
	for _, s := range stacks {
		options := o.LoadOptions
		options.Root = root
		if o.EnvDir != "" {
			options.HostEnvFile = filepath.Join(o.EnvDir, s.Name+".env")
		}
		p, err := Load(ctx, s, options)
		keep(err)
		if p != nil {
			projects = append(projects, p)
		}
	}
	for _, p := range CycleProblems(projects) {
		mistakes.add(p)
	}
	for _, p := range Problems(mistakes.err()) {
		other.Errors = append(other.Errors, p)
	}
	return other.ErrorOrNil()
}
