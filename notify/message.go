package notify

import (
	"time"
	"unicode/utf8"

	"davit/reconcile"
)

// maxMessage is how much of an event's message is sent, in bytes. It bounds the
// body: the rest of a Message is short.
const maxMessage = 8 << 10

// Message is the body of a delivery. Fields that do not apply are empty or 0,
// and never missing.
type Message struct {
	// ID is the delivery's, EventID the event's in this davit's own log.
	ID       string             `json:"id"`
	Event    string             `json:"event"`
	EventID  int64              `json:"event_id"`
	Stack    string             `json:"stack"`
	Service  string             `json:"service"`
	Version  string             `json:"version"`
	Commit   string             `json:"commit"`
	Seq      int64              `json:"seq"`
	Severity reconcile.Severity `json:"severity"`
	Message  string             `json:"message"`
	At       time.Time          `json:"at"`
	Host     string             `json:"host"`
	Instance string             `json:"instance"`
	Agent    string             `json:"agent"`
}

// Sender is who tells.
type Sender struct {
	// Host is the machine's name, Instance this davit's identity and Version the
	// running program's version.
	Host, Instance, Version string
}

func (s Sender) message(d reconcile.Delivery) Message {
	return Message{
		ID: d.ID, Event: string(d.Event.Kind), EventID: d.Event.ID,
		Stack: d.Event.Stack, Service: d.Event.Service, Version: d.Event.Version, Commit: d.Event.Commit,
		Seq: d.Event.Seq, Severity: d.Event.Severity, Message: shorten(d.Event.Message), At: d.Event.At.UTC(),
		Host: s.Host, Instance: s.Instance, Agent: s.Version,
	}
}

// shorten cuts between two characters.
func shorten(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
