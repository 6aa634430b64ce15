package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// TestAPublishedPortIsServedThroughReplacements: an app that dies at once on SIGTERM
// behind a host port is replaced, its agent killed and its edge upgraded meanwhile, and
// no request fails.
func TestAPublishedPortIsServedThroughReplacements(t *testing.T) {
	t.Parallel()
	bed := testbed.New(t)
	stack, repo := bed.Stack("edge"), bed.Repo("edge")
	r := &rig{T: t, bed: bed, stack: stack, repo: repo, versions: map[string]string{}}
	r.agent = bed.NewAgent(testbed.Run{Repo: repo.URL, Args: []string{"--branch", "main", "--edge", "on"}})
	port := bed.UnusedPort()
	declare := func(version string) string {
		image := r.image("web", version, testbed.App{Env: map[string]string{"STOP": "exit"}})
		return r.push("", service("web", image, fmt.Sprintf(`ports: ["127.0.0.1:%d:8080"]`, port),
			"x-davit: {monitor: 0s, standby: {for: 0s}, drain: {timeout: 5s, streams: 5s}}"))
	}
	commit := declare("1.0")
	r.agent.Start()
	r.waitCommit(commit)

	callers := call(t, fmt.Sprintf("http://127.0.0.1:%d/", port))
	callers.wait("1.0")
	commit = declare("2.0")
	r.poll()
	callers.wait("2.0")
	r.agent.Kill()
	callers.wait("2.0")
	r.agent.Start()
	r.waitCommit(commit)
	upgrade := exec.CommandContext(t.Context(), testbed.Davit(t), "edge", "--data", r.agent.Data, "--engine", r.agent.Host, "--takeover", "--detach")
	if out, err := upgrade.CombinedOutput(); err != nil {
		t.Fatalf("upgrade the edge: %v\n%s", err, out)
	}
	callers.wait("2.0")
	commit = declare("3.0")
	r.poll()
	callers.wait("3.0")
	r.waitCommit(commit)
	callers.end()
}

// callers ask again and again, over kept connections and over new ones.
type callers struct {
	t       *testing.T
	over    chan struct{}
	answers chan string
	calls   sync.WaitGroup
}

func call(t *testing.T, url string) *callers {
	c := &callers{t: t, over: make(chan struct{}), answers: make(chan string)}
	for n := range 4 {
		client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: n%2 == 0}}
		c.calls.Go(func() {
			defer client.CloseIdleConnections()
			for {
				answer, err := ask(client, url)
				if err != nil {
					t.Errorf("caller %d: %v", n, err)
					return
				}
				select {
				case <-c.over:
					return
				case c.answers <- answer:
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	t.Cleanup(c.end)
	return c
}

func ask(client *http.Client, url string) (string, error) {
	// With a body that it cannot send again, net/http does not hide that a kept connection
	// was closed.
	req, err := http.NewRequest(http.MethodGet, url, io.NopCloser(strings.NewReader("hello")))
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return string(text), err
}

// wait waits until a version answers.
func (c *callers) wait(version string) {
	c.t.Helper()
	for late := time.After(2 * time.Minute); ; {
		select {
		case answer := <-c.answers:
			if strings.Contains(answer, version) {
				return
			}
		case <-late:
			c.t.Fatalf("version %s does not answer", version)
		}
	}
}

func (c *callers) end() {
	select {
	case <-c.over:
	default:
		close(c.over)
	}
	c.calls.Wait()
}
