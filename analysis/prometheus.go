package analysis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// askLimit is how long a server may take over a query; it is told so, too.
	askLimit = 5 * time.Second
	// maxAnswer is far more than one number takes.
	maxAnswer = 1 << 20
	// maxMessage is how much of what a server says of a mistake is passed on.
	maxMessage = 300
)

// Server is a Prometheus server, or one that answers as it does. Servers come from the
// host's configuration only.
type Server struct {
	Name string
	// URL is the address below which api/v1/query is.
	URL *url.URL
	// TokenFile holds a bearer token; it is read for every query, so that replacing it
	// needs no restart. "" is none.
	TokenFile string
}

// Prometheus asks servers.
type Prometheus struct {
	servers []Server
	client  *http.Client
}

// NewPrometheus returns a client of servers.
func NewPrometheus(servers []Server) *Prometheus {
	return &Prometheus{servers: servers, client: &http.Client{
		Transport: http.DefaultTransport.(*http.Transport).Clone(),
		Timeout:   askLimit + time.Second,
		// The address was vetted, where it sends one to was not, and would get the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close lets go of idle connections.
func (p *Prometheus) Close() { p.client.CloseIdleConnections() }

// Ask makes an instant query of the server of that name, "" for the only one.
func (p *Prometheus) Ask(ctx context.Context, server, query string) Answer {
	s, err := p.server(server)
	if err != nil {
		return Answer{Err: err}
	}
	body, status, err := p.post(ctx, s, query)
	if err != nil {
		return Answer{Err: fmt.Errorf("ask Prometheus %s: %w", s.Name, err)}
	}
	a := parseAnswer(body, status)
	if a.Err != nil {
		a.Err = fmt.Errorf("ask Prometheus %s: %w", s.Name, a.Err)
	}
	return a
}

func (p *Prometheus) server(name string) (Server, error) {
	var names []string
	for _, s := range p.servers {
		if s.Name == name || name == "" && len(p.servers) == 1 {
			return s, nil
		}
		names = append(names, s.Name)
	}
	switch {
	case len(names) == 0:
		return Server{}, errors.New("the host's configuration names no Prometheus server")
	case name == "":
		return Server{}, fmt.Errorf("the host's configuration names several Prometheus servers, %s: say which", strings.Join(names, ", "))
	}
	return Server{}, fmt.Errorf("the host's configuration names no Prometheus server %s: there are %s", name, strings.Join(names, ", "))
}

// post makes the query and reads what comes back.
func (p *Prometheus) post(ctx context.Context, s Server, query string) (body []byte, status int, err error) {
	form := url.Values{"query": {query}, "timeout": {askLimit.String()}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL.JoinPath("api/v1/query").String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if s.TokenFile != "" {
		token, err := os.ReadFile(s.TokenFile)
		if err != nil {
			return nil, 0, fmt.Errorf("read token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	}
	resp, err := p.client.Do(req)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err // the name says which; an address may tell more than it should
		}
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("its answer has more than %d bytes", maxAnswer)
	}
	return body, resp.StatusCode, err
}

// response is what the API answers.
type response struct {
	Status    string `json:"status"`
	ErrorType string `json:"errorType"`
	Error     string `json:"error"`
	Data      struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
}

// parseAnswer reads the one number of an answer.
func parseAnswer(body []byte, status int) Answer {
	var r response
	if err := json.Unmarshal(body, &r); err != nil || r.Status == "" {
		return Answer{Err: fmt.Errorf("it answered %d, and not as Prometheus does", status)}
	}
	if r.Status != "success" || status != http.StatusOK {
		return Answer{Err: fmt.Errorf("it answered %d: %s", status, legible(r.ErrorType+": "+r.Error))}
	}
	switch r.Data.ResultType {
	case "scalar":
		return parseSample(r.Data.Result)
	case "vector":
		var series []struct {
			Value json.RawMessage `json:"value"`
		}
		if err := json.Unmarshal(r.Data.Result, &series); err != nil {
			return Answer{Err: errors.New("its vector is none")}
		}
		switch len(series) {
		case 0:
			return Answer{None: "the query has no result"}
		case 1:
			return parseSample(series[0].Value)
		}
		return Answer{Err: fmt.Errorf("the query has %d results where one is needed: put them together, with sum() for one", len(series))}
	}
	return Answer{Err: fmt.Errorf("the query results in a %s where one number is needed", legible(r.Data.ResultType))}
}

// parseSample reads [time, "value"].
func parseSample(raw json.RawMessage) Answer {
	var pair []json.RawMessage
	var text string
	if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 || json.Unmarshal(pair[1], &text) != nil {
		return Answer{Err: errors.New("its result has no number")}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return Answer{Err: fmt.Errorf("its result %s is no number", legible(strconv.Quote(text)))}
	}
	return Answer{Value: f}
}

// legible is foreign text on one line of bounded length.
func legible(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return strings.TrimSpace(text)
}
