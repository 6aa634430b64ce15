package reconcile

import "davit/compose"

// Declaration is all that a source declares at one revision.
type Declaration struct {
	Revision Revision
	Projects []*compose.Project
	// Broken are the stacks whose files do not load, by name, with every mistake.
	// What they run is left as it is.
	Broken map[string]error
}
