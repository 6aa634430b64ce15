package reconcile

import "slices"

// Scope is what a loop acts on that stands in for one source and follows none:
// `davit apply --dir`. Of everything else it only knows.
type Scope struct {
	// Source is the name of the source whose place is taken.
	Source string
	// Stack is one stack of it, "" for all that it declares.
	Stack string
}

// Confine has passes act on nothing outside of scope, and Plan show nothing else.
func (l *Loop) Confine(scope Scope) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scope = &scope
}

// inScope reports whether it is for the scope's source to speak of the stack. The
// caller holds l.mu.
func (l *Loop) inScope(name string) bool {
	if l.scope == nil {
		return true
	}
	d := l.claims.speaker(name)
	return d != nil && d.Source == l.scope.Source && (l.scope.Stack == "" || l.scope.Stack == name)
}

// actsOn reports whether passes act on the stack: in a scope only if it is declared
// there, be it as removed. The caller holds l.mu.
func (l *Loop) actsOn(name string) bool {
	if l.scope == nil || !l.inScope(name) {
		return l.scope == nil
	}
	return l.claims.holder(name) != nil || slices.Contains(l.claims.latest[l.scope.Source].Removed, name)
}
