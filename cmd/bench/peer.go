package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// direct is a client of the engine that does nothing but the calls themselves,
// over connections that stay open.
type direct struct{ http *http.Client }

func newDirect(host string) direct {
	socket := strings.TrimPrefix(host, "unix://")
	return direct{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost: 64,
	}}}
}

func (d direct) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	q, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	q.Header.Set("Content-Type", "application/json")
	answer, err := d.http.Do(q)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 400 {
		err = fmt.Errorf("%s: %s", answer.Status, bytes.TrimSpace(text))
	}
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

type object = map[string]any

// run creates and starts one container on a network and returns its ID.
func (d direct) run(ctx context.Context, name, network, image string) (string, error) {
	var made struct{ ID string }
	err := d.call(ctx, http.MethodPost, "/containers/create?name="+name, object{
		"Image": image, "Env": []string{"LEVEL=info", "EDIT=0"},
		"HostConfig":       object{"NetworkMode": network, "RestartPolicy": object{"Name": "no"}},
		"NetworkingConfig": object{"EndpointsConfig": object{network: object{"Aliases": []string{name}}}},
	}, &made)
	if err == nil {
		err = d.call(ctx, http.MethodPost, "/containers/"+made.ID+"/start", nil, nil)
	}
	return made.ID, err
}

// What davit has under way at once by default: stacks, and services of one.
const parallelStacks = 8

// bare makes the same containers as the stacks have, by direct calls, and returns
// how long it took until the last one ran. Then it removes them.
func (h *host) bare() time.Duration {
	d := newDirect(h.engine.Host)
	defer d.http.CloseIdleConnections()
	begun := time.Now()
	h.each(func(n int) error {
		if err := d.call(h.Context(), http.MethodPost, "/networks/create", object{"Name": bareName(n), "CheckDuplicate": true}, nil); err != nil {
			return err
		}
		var wait sync.WaitGroup
		problems := make([]error, h.services)
		for i := range h.services {
			wait.Go(func() {
				_, problems[i] = d.run(h.Context(), fmt.Sprintf("%s-s%d", bareName(n), i), bareName(n), h.image.Ref)
			})
		}
		wait.Wait()
		for _, err := range problems {
			if err != nil {
				return err
			}
		}
		return nil
	})
	took := time.Since(begun)
	h.each(func(n int) error {
		for i := range h.services {
			if err := d.call(h.Context(), http.MethodDelete, fmt.Sprintf("/containers/%s-s%d?force=true&v=true", bareName(n), i), nil, nil); err != nil {
				return err
			}
		}
		return d.call(h.Context(), http.MethodDelete, "/networks/"+bareName(n), nil, nil)
	})
	return took
}

func bareName(n int) string { return fmt.Sprintf("bare%02d", n) }

// remove takes all containers of a stack away, as quickly as can be.
func (h *host) remove(stack string) {
	d := newDirect(h.engine.Host)
	defer d.http.CloseIdleConnections()
	all, err := h.engine.Containers(h.Context(), stack)
	if err != nil {
		h.Fatalf("%v", err)
	}
	for _, c := range all {
		if err := d.call(h.Context(), http.MethodDelete, "/containers/"+c.ID+"?force=true&v=true", nil, nil); err != nil {
			h.Fatalf("%v", err)
		}
	}
}

// each calls f for every stack.
func (h *host) each(f func(n int) error) { h.times(h.stacks, f) }

// times calls f for 0 to n-1, as many at once as davit would work on.
func (h *host) times(n int, f func(i int) error) {
	room := make(chan struct{}, parallelStacks)
	h.all(n, func(i int) error {
		room <- struct{}{}
		defer func() { <-room }()
		return f(i)
	})
}

// all calls f for 0 to n-1, all at once.
func (h *host) all(n int, f func(i int) error) {
	var wait sync.WaitGroup
	problems := make([]error, n)
	for i := range n {
		wait.Go(func() { problems[i] = f(i) })
	}
	wait.Wait()
	for _, err := range problems {
		if err != nil {
			h.Fatalf("direct calls: %v", err)
		}
	}
}

// swap replaces one container by direct calls: the new one is made and runs, then
// the old one is stopped. It returns how long the new one took to run.
func (h *host) swap() change {
	d := newDirect(h.engine.Host)
	defer d.http.CloseIdleConnections()
	network := stackName(0) + "_default"
	must := func(err error) {
		if err != nil {
			h.Fatalf("direct calls: %v", err)
		}
	}
	old, err := d.run(h.Context(), "bare-old", network, h.image.Ref)
	must(err)
	begun := time.Now()
	fresh, err := d.run(h.Context(), "bare-new", network, h.image.Ref)
	must(err)
	started := time.Since(begun)
	must(d.call(h.Context(), http.MethodPost, "/containers/"+old+"/stop", nil, nil))
	done := time.Since(begun)
	for _, id := range []string{old, fresh} {
		must(d.call(h.Context(), http.MethodDelete, "/containers/"+id+"?force=true&v=true", nil, nil))
	}
	return change{started: started, done: done}
}
