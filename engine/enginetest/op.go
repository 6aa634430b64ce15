package enginetest

import "fmt"

// Op is one mutation, as the engine sees it.
type Op struct {
	Kind OpKind
	// Target names the object: a container's name, a network's or volume's
	// engine name, an image reference.
	Target string
	// Detail is the new name, the policy or the network, where there is one.
	Detail string
}

func (o Op) String() string {
	if o.Detail == "" {
		return fmt.Sprintf("%s %s", o.Kind, o.Target)
	}
	return fmt.Sprintf("%s %s %s", o.Kind, o.Target, o.Detail)
}

// OpKind is the kind of a mutation.
type OpKind int

const (
	OpPull OpKind = iota
	OpTag
	OpUntag
	OpRemoveImage
	OpCreateNetwork
	OpRemoveNetwork
	OpCreateVolume
	OpCreate
	OpStart
	OpStop
	OpRemove
	OpDisconnect
	OpConnect
	OpPolicy
	OpRename
	OpBuild
	OpRun
	// OpApply gives the edge a table; the target is its generation.
	OpApply
)

func (k OpKind) String() string {
	return [...]string{"pull", "tag", "untag", "remove-image", "create-network", "remove-network", "create-volume",
		"create", "start", "stop", "remove", "disconnect", "connect", "policy", "rename", "build", "run", "apply"}[k]
}

// Moment says on which side of a mutation an Interrupt is called.
type Moment int

const (
	// Before: an error keeps the mutation from happening.
	Before Moment = iota
	// After: the mutation happened; an error takes the place of its reply.
	After
)

func (m Moment) String() string { return [...]string{"before", "after"}[m] }
