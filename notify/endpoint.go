package notify

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"

	"davit/reconcile"
)

// Endpoint is one receiver.
type Endpoint struct {
	// Name is how it appears in logs and in the outbox; the URL's host by default.
	// Names are unique.
	Name string
	// URL is an http or https address. It may hold a secret and is never logged.
	URL string
	// SecretFile holds the key of the signature. It is read for every delivery, so
	// that replacing it needs no restart. Without one, deliveries are unsigned.
	SecretFile string
	// Events are the kinds of event it wants, as Kinds spells them; DefaultEvents
	// if there are none.
	Events []string
}

// receiver is an endpoint that was found valid.
type receiver struct {
	name       string
	url        *url.URL
	secretFile string
	wants      selection
	// wake has room for one: more would say no more.
	wake chan struct{}
}

func newReceiver(e Endpoint) (*receiver, error) {
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		// Not the parser's own words: they quote the URL.
		return nil, fmt.Errorf("notification endpoint %s: not an http or https URL", e.Name)
	}
	name := e.Name
	if name == "" {
		name = u.Host
	}
	wants, err := newSelection(e.Events)
	if err != nil {
		return nil, reconcile.WithHint(fmt.Errorf("notification endpoint %s: %w", name, err),
			"the events are %v, or %q for all", Kinds(), Everything)
	}
	return &receiver{name: name, url: u, secretFile: e.SecretFile, wants: wants, wake: make(chan struct{}, 1)}, nil
}

// secret is nil where deliveries are not signed.
func (r *receiver) secret() ([]byte, error) {
	if r.secretFile == "" {
		return nil, nil
	}
	content, err := os.ReadFile(r.secretFile)
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	// Editors and `echo` end a file with a line break that nobody means.
	secret := bytes.TrimRight(content, "\r\n")
	if len(secret) == 0 {
		return nil, errors.New("read secret: " + r.secretFile + " is empty")
	}
	return secret, nil
}

func (r *receiver) ring() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
