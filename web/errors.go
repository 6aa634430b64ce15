package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"davit/reconcile"
)

// Error is an answer that is not 2xx, on both sides of the socket.
type Error struct {
	Status  int
	Message string
	Hint    string
}

func (e *Error) Error() string { return e.Message }

// answer turns a function that returns a value or an error into a handler.
func answer(timeout time.Duration, f func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		value, err := f(r.WithContext(ctx))
		if err != nil {
			refuse(w, err)
			return
		}
		reply(w, http.StatusOK, value)
	})
}

func refuse(w http.ResponseWriter, err error) {
	problem := Problem{Error: err.Error(), Hint: reconcile.Hint(err)}
	var e *Error
	if errors.As(err, &e) && problem.Hint == "" {
		problem.Hint = e.Hint
	}
	reply(w, code(err), problem)
}

// reply sends value. A reader that went away is nobody's problem.
func reply(w http.ResponseWriter, status int, value any) {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		status = http.StatusInternalServerError
		body.Reset()
		body.WriteString(`{"error":"encode the answer"}`)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// code is the status code that says what kind of error err is.
func code(err error) int {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Status
	case errors.Is(err, reconcile.ErrNoSuchStack), errors.Is(err, reconcile.ErrNoSuchRelease):
		return http.StatusNotFound
	case errors.Is(err, reconcile.ErrNotApplicable):
		return http.StatusConflict
	case errors.Is(err, reconcile.ErrDiskFull):
		return http.StatusInsufficientStorage
	case errors.Is(err, reconcile.ErrEngineUnavailable), errors.Is(err, reconcile.ErrRegistryUnavailable):
		return http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}
