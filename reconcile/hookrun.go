package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// HookMark is what the container of a release's hook says of itself, by a label.
// Together with the release it says that the hook was begun.
type HookMark struct {
	Phase HookPhase
	Index int
	// Command tells commands apart: a sum of it.
	Command      string
	Timeout      time.Duration
	Irreversible bool
}

// Mark is the mark of the hook's container.
func (h Hook) Mark() HookMark {
	sum := sha256.Sum256([]byte(strings.Join(h.Command, "\x00")))
	return HookMark{Phase: h.Phase, Index: h.Index, Command: hex.EncodeToString(sum[:6]), Timeout: h.Timeout, Irreversible: h.Irreversible}
}

const irreversible = "irreversible"

// String is the label: "pre_deploy/1/0f3a5c77d1e2/5m0s".
func (m HookMark) String() string {
	if !m.Phase.OfRelease() {
		return ""
	}
	text := fmt.Sprintf("%s/%d/%s/%s", m.Phase, m.Index+1, m.Command, m.Timeout)
	if m.Irreversible {
		text += "/" + irreversible
	}
	return text
}

// ParseHookMark is the inverse of String; zero for what is no mark.
func ParseHookMark(text string) HookMark {
	words := strings.Split(text, "/")
	if len(words) < 4 {
		return HookMark{}
	}
	place, err := strconv.Atoi(words[1])
	timeout, bad := time.ParseDuration(words[3])
	if err != nil || bad != nil || place < 1 {
		return HookMark{}
	}
	m := HookMark{Index: place - 1, Command: words[2], Timeout: timeout, Irreversible: len(words) > 4 && words[4] == irreversible}
	for m.Phase = HookPreDeploy; m.Phase <= HookOnFailure; m.Phase++ {
		if m.Phase.String() == words[0] {
			return m
		}
	}
	return HookMark{}
}

// same reports whether both are of one hook, whatever has become of its limits.
func (m HookMark) same(o HookMark) bool {
	return m.Phase == o.Phase && m.Index == o.Index && m.Command == o.Command
}

// HookContainer is the name of the container in which a release runs a hook.
func HookContainer(stack, service string, h Hook, seq int64) string {
	return fmt.Sprintf("%s-%s-%s-%d-%d", stack, service, h.Phase, h.Index+1, seq)
}

// HookRun is a hook that was begun, as the journal has it when its container is gone.
type HookRun struct {
	// Release is the number of the release that it was begun for.
	Release int64
	// Container is the name that it had.
	Container string
	// Succeeded is true when it ended with code 0; Failure is how it ended otherwise, ""
	// where nobody knows.
	Succeeded    bool
	Failure      string
	Irreversible bool
}

// hookRun reads what the journal says of a step: the run of a hook names its container,
// which no other step can.
func hookRun(e JournalEntry) (HookRun, bool) {
	if e.Container == "" || !strings.HasPrefix(e.Action, StepHook.String()+" ") || !strings.Contains(e.Container, "-") {
		return HookRun{}, false
	}
	return HookRun{Container: e.Container, Succeeded: e.Done && e.Err == "", Failure: e.Err, Irreversible: strings.Contains(e.Action, ", "+irreversible)}, true
}
