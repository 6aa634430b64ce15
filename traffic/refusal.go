package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"davit/reconcile"
)

// Refusal is an answer of the admin API that is not 2xx, on both sides.
type Refusal struct {
	Status  int
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// errHandedOver is why an edge that has a successor answers nothing any more. The
// client asks again, of the successor.
var errHandedOver = errors.New("the edge has handed over to its successor")

// problem is the body of a refusal.
type problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var r *Refusal
	switch {
	case errors.As(err, &r):
		status = r.Status
	case errors.Is(err, errHandedOver):
		status = http.StatusMisdirectedRequest
		w.Header().Set("Connection", "close")
	case errors.Is(err, ErrStale), errors.Is(err, ErrForeign):
		status = http.StatusConflict
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	}
	reply(w, status, problem{Error: err.Error(), Hint: reconcile.Hint(err)})
}

// reply sends value. A reader that went away is nobody's problem.
func reply(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"encode the answer"}`)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(adminPatience))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// refusal is the error that an answer carries.
func refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("read the edge's answer: %w", err)
	}
	if resp.StatusCode == http.StatusMisdirectedRequest {
		return errHandedOver
	}
	var p problem
	if json.Unmarshal(text, &p) != nil || p.Error == "" {
		p.Error = fmt.Sprintf("the edge answered %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	r := &Refusal{Status: resp.StatusCode, Message: p.Error}
	if p.Hint != "" {
		return reconcile.WithHint(r, "%s", p.Hint)
	}
	return r
}
