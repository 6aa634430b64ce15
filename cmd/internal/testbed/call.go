package testbed

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Call is one request that passed an EngineProxy.
type Call struct {
	At     time.Time
	Method string
	// Path is without the API version: "/containers/create".
	Path  string
	Query url.Values
	// Body is what was sent, if it was JSON.
	Body []byte
	// Status is the engine's answer; 0 while there is none, or when it was not
	// asked.
	Status int
	// Checkup is true for a run of an App's health check. It changes nothing, and how
	// many there are depends on the clock.
	Checkup bool
}

func (c Call) String() string {
	s := c.Method + " " + c.Path
	if len(c.Query) > 0 {
		s += "?" + c.Query.Encode()
	}
	if c.Status != 0 {
		s += fmt.Sprintf(" %d", c.Status)
	}
	return s
}

// Mutates reports whether the call changes the engine's world.
func (c Call) Mutates() bool {
	if c.Method == http.MethodGet || c.Method == http.MethodHead || c.Checkup {
		return false
	}
	return !reads.MatchString(c.Path)
}

// reads are the questions that the engine's API asks with POST.
var reads = regexp.MustCompile(`^/(containers/[^/]+/(wait|attach|resize)|exec/[^/]+/resize|auth|session|grpc)$`)

// begins is the request that begins what POST /containers/ID/exec has made.
var begins = regexp.MustCompile(`^/exec/([^/]+)/start$`)

// checks reports whether the call makes a run of an App's health check.
func (c Call) checks() bool {
	var asked struct{ Cmd []string }
	return strings.HasSuffix(c.Path, "/exec") && json.Unmarshal(c.Body, &asked) == nil && slices.Equal(asked.Cmd, healthcheck)
}

// execution is the run of a command that the call begins; "" for any other call.
func (c Call) execution() string {
	if of := begins.FindStringSubmatch(c.Path); of != nil {
		return of[1]
	}
	return ""
}

var apiVersion = regexp.MustCompile(`^/v[0-9]+\.[0-9]+/`)

// callOf reads a request's line; its body is left alone.
func callOf(r *http.Request) Call {
	path := r.URL.Path
	if prefix := apiVersion.FindString(path); prefix != "" {
		path = "/" + strings.TrimPrefix(path, prefix)
	}
	return Call{At: time.Now(), Method: r.Method, Path: path, Query: r.URL.Query()}
}
