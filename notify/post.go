package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"davit/reconcile"
)

const (
	// maxAnswer is how much of an answer is read, quoted how much is repeated in
	// the log, in bytes.
	maxAnswer = 64 << 10
	quoted    = 200
	// maxRedirects is how often a receiver may send us on within itself.
	maxRedirects = 3
)

// verdict is what became of one attempt. The zero verdict is a success.
type verdict struct {
	// reason says what failed.
	reason string
	// final says that no further attempt can help.
	final bool
	// after is the least pause that the receiver asks for.
	after time.Duration
}

func (v verdict) delivered() bool { return v.reason == "" }

// post makes one attempt.
func (n *Notifier) post(ctx context.Context, r *receiver, d reconcile.Delivery) verdict {
	request, err := n.request(ctx, r, d)
	if err != nil {
		return verdict{reason: err.Error()}
	}
	answer, err := n.client.Do(request)
	if err != nil {
		return verdict{reason: withoutURL(err).Error()}
	}
	defer answer.Body.Close()
	// What cannot be read of the body changes nothing: the status has spoken.
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return judge(answer, body)
}

func (n *Notifier) request(ctx context.Context, r *receiver, d reconcile.Delivery) (*http.Request, error) {
	secret, err := r.secret()
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(n.sender.message(d))
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, withoutURL(err)
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "davit/"+n.sender.Version)
	request.Header.Set("X-Davit-Event", string(d.Event.Kind))
	request.Header.Set("X-Davit-Delivery", d.ID)
	request.Header.Set("X-Davit-Timestamp", timestamp)
	if secret != nil {
		request.Header.Set("X-Davit-Signature", Sign(secret, timestamp, body))
	}
	return request, nil
}

func judge(answer *http.Response, body []byte) verdict {
	status := answer.StatusCode
	if status >= 200 && status < 300 {
		return verdict{}
	}
	v := verdict{reason: fmt.Sprintf("answered %d", status)}
	if len(body) > 0 {
		v.reason += fmt.Sprintf(": %q", body[:min(len(body), quoted)])
	}
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		v.after = retryAfter(answer.Header, time.Now())
	case status >= 300 && status < 400:
		v.final = true
		v.reason = fmt.Sprintf("answered %d: it redirects, and a delivery does not follow; name the final address", status)
	default:
		v.final = true
	}
	return v
}

// sameHost lets a receiver send us on only within itself and only where the POST
// stays a POST: anything else would carry the message and its signature to
// somebody the operator did not name, or lose the body.
func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	same := next.URL.Scheme == first.Scheme && next.URL.Host == first.Host
	if !same || next.Method != http.MethodPost || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// withoutURL takes the address, which may hold a token, out of net/http's errors.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
