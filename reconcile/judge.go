package reconcile

import (
	"fmt"

	"davit/compose"
)

// Judge says why this host does not allow a recorded project any more, nil where
// it does.
type Judge func(*compose.Project) error

// permitted asks the judge before an operator's choice is brought back: the
// policy may have changed since it ran. An automatic rollback is not asked about,
// because it only puts back what ran a moment ago, and a revert was judged when
// its files were loaded.
func (a *attempt) permitted(p *compose.Project) error {
	if a.loop.Judge == nil || a.verdict.Kind != KindManualRollback {
		return nil
	}
	if err := a.loop.Judge(p); err != nil {
		return fmt.Errorf("release #%d is not allowed on this host any more: %w", a.verdict.Restore.Seq, err)
	}
	return nil
}
