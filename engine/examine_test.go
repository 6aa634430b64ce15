package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"davit/reconcile"
)

func TestAHealthCheckIsRunAsTheEngineRunsIt(t *testing.T) {
	for _, c := range []struct {
		name string
		test []string
		sh   []string
		want []string
	}{
		{name: "a command", test: []string{"CMD", "/app", "check"}, want: []string{"/app", "check"}},
		{name: "a line for the shell", test: []string{"CMD-SHELL", "a || b"}, want: []string{"/bin/sh", "-c", "a || b"}},
		{name: "a line for the image's own shell", test: []string{"CMD-SHELL", "a || b"}, sh: []string{"/bin/ash", "-eo", "pipefail", "-c"},
			want: []string{"/bin/ash", "-eo", "pipefail", "-c", "a || b"}},
		{name: "none", test: []string{"NONE"}},
		{name: "nothing", test: nil},
		{name: "a command without words", test: []string{"CMD"}},
		{name: "something that is not known", test: []string{"CMD-OTHER", "x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := &container.Config{Shell: c.sh, Healthcheck: &container.HealthConfig{Test: c.test}}
			if got := checkOf(config); !slices.Equal(got, c.want) {
				t.Errorf("runs %q, want %q", got, c.want)
			}
		})
	}
	if got := checkOf(&container.Config{}); got != nil {
		t.Errorf("runs %q where there is no check", got)
	}
}

func TestAListThatIsOlderThanAnExaminationForgetsNothingOfIt(t *testing.T) {
	x, started := newExams(), time.Now()
	asked := time.Now()
	x.pass("new", started)
	c := reconcile.Container{ID: "new", State: reconcile.Running, Health: reconcile.HealthStarting, Started: started}
	x.keepOnly(nil, asked)
	if got := x.health(c); got != reconcile.Healthy {
		t.Errorf("a container that was made while the engine listed the others is %s", got)
	}
	x.keepOnly(nil, time.Now().Add(time.Second))
	if got := x.health(c); got != reconcile.HealthStarting {
		t.Errorf("a container that is gone is remembered as %s", got)
	}
}
