package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Of the callers inside a stack: how many there are, how long each pauses, and how long
// it waits for one address before it tries the next of the answer.
const (
	callers     = 3
	callerPause = 10 * time.Millisecond
	dialLimit   = 900 * time.Millisecond
)

// callNames posts to a service by its name again and again until ctx ends, and prints a
// tally as load does. Each caller dials anew for each request, or with -kept keeps its
// connection until it is told to close it. What is posted cannot be sent twice, so that
// nothing hides a failure.
func callNames(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("caller", flag.ContinueOnError)
	kept := flags.Bool("kept", false, "keep connections")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("usage: app caller [-kept] URL")
	}
	all := &client{url: flags.Arg(0), seen: tally{Versions: map[string]int{}, Errors: map[string]int{}}}
	var calls sync.WaitGroup
	for range callers {
		calls.Go(func() { all.callAgain(ctx, *kept) })
	}
	lines := json.NewEncoder(out)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
			all.report(lines)
		}
	}
	calls.Wait()
	all.report(lines)
	return nil
}

// callAgain is one caller.
func (c *client) callAgain(ctx context.Context, kept bool) {
	transport := &http.Transport{DialContext: dialEach, DisableKeepAlives: !kept, MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	caller := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	for ctx.Err() == nil {
		begun := time.Now()
		version, err := post(caller, c.url)
		c.count(version, err, time.Since(begun))
		time.Sleep(callerPause)
	}
}

func post(caller *http.Client, url string) (version string, err error) {
	response, err := caller.Post(url, "text/plain", io.NopCloser(strings.NewReader(strings.Repeat("x", 4096))))
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	err = errors.Join(err, response.Body.Close())
	version = strings.TrimSpace(string(body))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, version)
	}
	return version, err
}

// dialEach asks for a name and tries one address of the answer after the other.
func dialEach(ctx context.Context, network, address string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	found, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, ip := range found {
		conn, err := (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, network, net.JoinHostPort(ip, port))
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}
