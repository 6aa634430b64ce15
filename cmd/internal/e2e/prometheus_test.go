package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestACanaryIsJudgedByPrometheus: a real one finds the containers, their releases and
// what they count by itself.
func TestACanaryIsJudgedByPrometheus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "davit.yaml")
	r := newRollout(t, "queried", "--edge", "on", "--config", config)
	address := fmt.Sprintf("127.0.0.1:%d", r.bed.UnusedPort())
	if err := os.WriteFile(config, []byte("prometheus:\n  main: {url: http://"+address+"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.prometheus(dir, address)
	const query = `sum(rate(app_failed_total{release=~"{{release}}"}[5s])) / sum(rate(app_requests_total{release=~"{{release}}"}[5s]))`
	r.promotesTheGoodAndStopsTheBad(fivePercent("[prometheus: {name: failing, query: '"+query+"', max: 0.05, min_samples: 3}]"), "failing is 0.")
}

// prometheus runs a Prometheus that looks for the stack's containers every second, and
// returns when it is ready.
func (r *rollout) prometheus(dir, address string) {
	r.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		r.Fatalf("%v; scripts/ensure-balancers installs it", err)
	}
	config := fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: docker
    docker_sd_configs:
      - host: %s
        refresh_interval: 1s
        port: 8080
        filters: [{name: label, values: ["com.docker.compose.project=%s"]}]
    relabel_configs:
      - {source_labels: [__meta_docker_container_label_davit_release], target_label: release}
`, r.bed.Engine.Host, r.stack.Name)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		r.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "prometheus.log"))
	if err != nil {
		r.Fatal(err)
	}
	defer log.Close()
	command := exec.Command(path, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "series"), "--web.listen-address="+address)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = command.Wait()                          // a signal ended it
		if text, err := os.ReadFile(log.Name()); r.Failed() {
			r.Logf("Prometheus wrote, %v:\n%s", err, text)
		}
	})
	r.eventually("Prometheus to be ready", func() bool {
		answer, err := http.Get("http://" + address + "/-/ready")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}
