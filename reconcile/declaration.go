package reconcile

import "davit/compose"

// Declaration is all that a source declares at one revision.
type Declaration struct {
	// Source is the name of the source; "" where there is only one.
	Source   string
	Revision Revision
	Projects []*compose.Project
	// Broken are the stacks whose files do not load, by name, with every mistake.
	// What they run is left as it is.
	Broken map[string]error
	// Refused are stacks of this source that claim a name which another stack of
	// it had first. The other is among Projects or Broken.
	Refused []Refusal
	// Removed names stacks that are declared gone: what runs of them is taken down,
	// their volumes are kept.
	Removed []string
}

// Refusal is a claim on a stack's name that is not granted.
type Refusal struct {
	Stack string
	Err   error
}
