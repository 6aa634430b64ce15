// Package web is the agent's API: JSON over HTTP, on a unix socket in the data
// directory that only its owner can open. Whoever can open it can do what the
// agent can do, so there is no further authentication.
//
// The package knows nothing about reconciling. It reads from four small
// interfaces (an Agent, a History, an EventLog, Sources) and translates: nouns
// of the hub to the wire types in api.go, errors to status codes, and back in
// Client. The wire types are documented in docs/json.md and do not change
// within /v1.
//
// Events have one truth, the log in the database. A Bell says that the log has
// grown, and every reader goes on from the last event that it has written. A
// slow reader therefore holds nobody up and misses nothing: it only reads later,
// or, once a write takes too long, loses its connection and resumes after the
// last event that it saw.
package web
