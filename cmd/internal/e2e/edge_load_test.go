package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"davit/cmd/internal/mix"
	"davit/cmd/internal/testbed"
)

// drainTimeout and drainStreams are what the service below grants to requests and to
// streams.
const (
	drainTimeout = 4 * time.Second
	drainStreams = 6 * time.Second
)

// TestMixedLoadThroughReplacements: an app that dies at once on SIGTERM is replaced again
// and again while clients of every kind use its ports. No request fails, nothing is lost,
// changed or reordered, and a stream that does not end by itself lives until its limit.
func TestMixedLoadThroughReplacements(t *testing.T) {
	t.Parallel()
	replacements := 9
	if *soak {
		replacements = 50
	}
	bed := testbed.New(t)
	r := &rig{T: t, bed: bed, stack: bed.Stack("mix"), repo: bed.Repo("mix"), versions: map[string]string{}}
	r.agent = bed.NewAgent(testbed.Run{Repo: r.repo.URL, Args: []string{"--branch", "main", "--edge", "on"}})
	m := &mixed{rig: r}
	for i := range m.ports {
		m.ports[i] = bed.UnusedPort()
	}

	commit := m.declare(0)
	r.agent.Start()
	r.waitCommit(commit)
	watch, drains := r.stack.Mark(), r.agent.WatchDrains()
	load := mix.Start(t.Context(), mix.Target{HTTP: m.at(0), RecordsAuto: m.at(1), RecordsTCP: m.at(2)})
	t.Cleanup(func() { load.Stop() })
	began := time.Now()
	for n := 1; n <= replacements && !load.Failed(); n++ {
		commit = m.declare(n)
		r.poll()
		if *soak {
			m.disturb(n)
		}
		r.eventually(fmt.Sprintf("version %s to answer requests of every kind", version(n)), func() bool {
			return load.Reached(version(n)) || load.Failed()
		})
		// Otherwise the next commit comes while the release before still drains.
		if n%3 == 0 {
			r.waitCommit(commit)
		}
	}
	if !load.Failed() {
		r.waitCommit(commit)
	}
	took := time.Since(began)
	report := load.Stop()
	since, moved := drains.Stop()
	m.judge(report, mix.Drains{Since: since, Timeout: drainTimeout, Streams: drainStreams})
	t.Logf("%d replacements in %s:\n%s", len(since), took.Round(100*time.Millisecond),
		report.Text(mix.Drains{Since: since, Timeout: drainTimeout, Streams: drainStreams}))
	for _, what := range moved {
		t.Error(what)
	}
	if len(since) < replacements {
		t.Errorf("%d containers were replaced, of %d releases", len(since), replacements)
	}
	watch.RequireMinReady("web", 1)
	r.stack.RequireReplicas("web", 1)
	r.checkHistory()
}

func version(n int) string { return fmt.Sprintf("1.%d", n) }

// mixed is a rig whose service is published at three ports: for HTTP, for records whose
// protocol is found out, and for records over what is said to be TCP.
type mixed struct {
	*rig
	ports [3]int
}

func (m *mixed) at(port int) string { return fmt.Sprintf("127.0.0.1:%d", m.ports[port]) }

func (m *mixed) declare(n int) string {
	m.Helper()
	image := m.image("web", version(n), testbed.App{Env: map[string]string{"STOP": "exit", "RECORDS": "9000:9001"}})
	return m.push("", service("web", image,
		fmt.Sprintf(`ports: ["%s:8080", "%s:9000", "%s:9001"]`, m.at(0), m.at(1), m.at(2)),
		fmt.Sprintf(`x-davit: {monitor: 0s, standby: {for: 0s}, drain: {timeout: %s, streams: %s}, ports: {"9001": {protocol: tcp}}}`, drainTimeout, drainStreams)))
}

// disturb has the edge upgraded in the middle of some replacements, and the agent killed
// in the middle of others.
func (m *mixed) disturb(n int) {
	m.Helper()
	if n%10 != 4 && n%10 != 7 {
		return
	}
	m.eventually("the new container to run", func() bool { return len(m.stack.Running("web")) > 1 })
	switch n % 10 {
	case 4:
		upgrade := exec.CommandContext(m.Context(), testbed.Davit(m), "edge", "--data", m.agent.Data, "--engine", m.agent.Host, "--takeover", "--detach")
		if out, err := upgrade.CombinedOutput(); err != nil {
			m.Fatalf("upgrade the edge: %v\n%s", err, out)
		}
	case 7:
		m.agent.Kill()
		m.agent.Start()
	}
}

// judge makes sure that no request failed, that every stream ended as it should, and
// that there were some of every kind.
func (m *mixed) judge(report mix.Report, drains mix.Drains) {
	m.Helper()
	var wrong []string
	for _, f := range report.Failures {
		wrong = append(wrong, f.String())
	}
	for _, s := range report.Streams {
		if err := drains.Judge(s); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	slices.Sort(wrong)
	for _, line := range wrong[:min(len(wrong), 40)] {
		m.Error(line)
	}
	if len(wrong) > 40 {
		m.Errorf("and %d more", len(wrong)-40)
	}
	for _, kind := range []mix.Kind{mix.WebSocket, mix.StreamAuto, mix.StreamTCP} {
		if len(report.Ends(kind, mix.Reset)) == 0 {
			m.Errorf("%s: none lived until its limit", kind)
		}
		if len(drains.Within(report.Ends(kind, mix.Finished))) == 0 {
			m.Errorf("%s: none ended by itself while its container drained", kind)
		}
	}
}
