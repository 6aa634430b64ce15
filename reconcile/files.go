package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"davit/compose"
)

// Files puts what containers mount into its place on this host.
type Files interface {
	// Write makes sure that everything that the containers of p mount is there. It
	// tells what became of files that containers had changed. Its error is an
	// fs.ErrNotExist for content that is gone.
	Write(p *compose.Project) ([]compose.Backup, error)
	// Collect removes content that was made before since and that needed does not
	// name by its sum.
	Collect(needed map[string]bool, since time.Time) (removed []string, err error)
}

// write puts what the project's containers mount into its place. Content that is
// written, or found, is not collected before the work ends.
func (a *attempt) write() error {
	a.loop.content.RLock()
	defer a.loop.content.RUnlock()
	a.loop.mu.Lock()
	a.stack.work.needs = contentOf(a.project)
	a.loop.mu.Unlock()
	project := a.project
	if a.in.Declared != nil {
		// Where a release from long ago comes back, what was collected is in the
		// revision that asks for it.
		project = project.WithSources(a.in.Declared)
	}
	backups, err := a.loop.Files.Write(project)
	for _, b := range backups {
		kind, text := EventFileBackedUp, "%s, which a container had changed, was replaced by a new version; the container's is %s"
		if b.Restored {
			kind, text = EventFileRestored, "%s is again what a container had made of this version, as kept in %s"
		}
		a.loop.Emit(Event{At: a.loop.Now(), Stack: a.stack.name, Kind: kind, Severity: SeverityWarning, Message: fmt.Sprintf(text, b.File, b.Copy)})
	}
	if errors.Is(err, fs.ErrNotExist) && a.verdict.Act == ActReturn {
		return errors.Join(errGone, err)
	}
	return err
}

// contentOf are the sums of all that a project's containers mount.
func contentOf(p *compose.Project) map[string]bool {
	sums := map[string]bool{}
	for _, c := range p.Content {
		for _, at := range []string{c.Copy, c.To} {
			for _, sum := range compose.ContentOf(at) {
				sums[sum] = true
			}
		}
	}
	return sums
}
