package testbed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Stack is the name of one compose project and all that the engine runs for it,
// watched from the moment it is made.
type Stack struct {
	// Name is unique: the compose file must say `name: NAME`.
	Name string

	bed      *Bed
	observer *observer
}

// Stack makes up a stack whose name begins with name.
func (b *Bed) Stack(name string) *Stack {
	b.tb.Helper()
	s := &Stack{Name: name + "-" + b.Name, bed: b}
	s.observer = observe(b.Engine, s.Name)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stacks = append(b.stacks, s)
	return s
}

// Network is the engine's name of the stack's default network.
func (s *Stack) Network() string { return s.Name + "_default" }

// Containers are the stack's containers, stopped ones too. With services, only
// theirs.
func (s *Stack) Containers(services ...string) []Container {
	s.bed.tb.Helper()
	found, err := s.bed.Engine.Containers(s.bed.tb.Context(), s.Name)
	if err != nil {
		s.bed.tb.Fatalf("list containers of %s: %v", s.Name, err)
	}
	return slices.DeleteFunc(found, func(c Container) bool {
		return len(services) > 0 && !slices.Contains(services, c.Service)
	})
}

// Running are the stack's running containers. With services, only theirs.
func (s *Stack) Running(services ...string) []Container {
	s.bed.tb.Helper()
	return slices.DeleteFunc(s.Containers(services...), func(c Container) bool { return !c.Running })
}

// Examined is Running once the engine has a verdict on every health: davit, which asks
// first, does not wait for that.
func (s *Stack) Examined(services ...string) []Container {
	s.bed.tb.Helper()
	unsure := func(c Container) bool { return c.Health == "starting" }
	running := s.Running(services...)
	for late := time.Now().Add(time.Minute); slices.ContainsFunc(running, unsure) && time.Now().Before(late); running = s.Running(services...) {
		time.Sleep(100 * time.Millisecond)
	}
	return running
}

// Only is the one running container of a service.
func (s *Stack) Only(service string) Container {
	s.bed.tb.Helper()
	running := s.Running(service)
	if len(running) != 1 {
		s.bed.tb.Fatalf("%s: %d containers of %s run, want 1:\n%s", s.Name, len(running), service, containerText(running))
	}
	return running[0]
}

// Answer is what a container's app answers when it is asked directly, past every
// name and proxy.
func (s *Stack) Answer(c Container) string {
	s.bed.tb.Helper()
	ctx, cancel := context.WithTimeout(s.bed.tb.Context(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Addresses[s.Network()]+":8080/", nil)
	if err != nil {
		s.bed.tb.Fatalf("ask %s: %v", c.Name, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.bed.tb.Fatalf("ask %s: %v", c.Name, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.bed.tb.Fatalf("ask %s: %v", c.Name, err)
	}
	return strings.TrimSpace(string(body))
}

// Mark begins a period to be judged by a Watch.
func (s *Stack) Mark() *Watch { return &Watch{stack: s, from: time.Now()} }

// show tells what there was when a test failed.
func (s *Stack) show(ctx context.Context) {
	found, err := s.bed.Engine.Containers(ctx, s.Name)
	if err != nil {
		s.bed.tb.Logf("list containers of %s: %v", s.Name, err)
	}
	s.bed.tb.Logf("containers of %s:\n%s\nwhat happened to them:\n%s", s.Name, containerText(found), s.observer.Timeline())
	for _, c := range found {
		if logs, err := s.bed.Engine.Logs(ctx, c.ID); err == nil && !c.Ready() {
			s.bed.tb.Logf("%s printed:\n%s", c.Name, tail(logs, 10))
		}
	}
}

func containerText(containers []Container) string {
	lines := make([]string, len(containers))
	for i, c := range containers {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n")
}

// Watch is the period since a Mark.
type Watch struct {
	stack *Stack
	from  time.Time
}

// Timeline is what happened to the stack, the time before the mark included.
func (w *Watch) Timeline() Timeline { return w.stack.observer.Timeline() }

// MinReady is the lowest number of ready containers that the service had.
func (w *Watch) MinReady(service string) int { return w.Timeline().MinReady(service, w.from) }

// MaxRunning is the highest number of containers that the service ran.
func (w *Watch) MaxRunning(service string) int { return w.Timeline().MaxRunning(service, w.from) }

// MaxWriters is the highest number of containers that could write to one volume.
func (w *Watch) MaxWriters() int { return w.Timeline().MaxWriters(w.from) }

// Starts is how many containers of the service were started.
func (w *Watch) Starts(service string) int { return w.Timeline().Starts(service, w.from) }

// RequireMinReady fails the test if the service ever had fewer ready containers.
func (w *Watch) RequireMinReady(service string, n int) {
	w.stack.bed.tb.Helper()
	if got := w.MinReady(service); got < n {
		w.stack.bed.tb.Errorf("%s: ready containers of %s fell to %d, floor is %d", w.stack.Name, service, got, n)
	}
}

// RequireOneWriter fails the test if two containers could write to one volume.
func (w *Watch) RequireOneWriter() {
	w.stack.bed.tb.Helper()
	if got := w.MaxWriters(); got > 1 {
		w.stack.bed.tb.Errorf("%s: %d containers could write to one volume at once", w.stack.Name, got)
	}
}

// RequireReplicas fails the test unless exactly n replicas of the service run, all
// ready and no two with one number.
func (s *Stack) RequireReplicas(service string, n int) {
	s.bed.tb.Helper()
	running := s.Examined(service)
	numbers := map[int]bool{}
	problem := ""
	for _, c := range running {
		if !c.Ready() {
			problem = c.Name + " is not ready"
		}
		if numbers[c.Number] {
			problem = fmt.Sprintf("two replicas are number %d", c.Number)
		}
		numbers[c.Number] = true
	}
	if len(running) != n {
		problem = fmt.Sprintf("%d run, want %d", len(running), n)
	}
	if problem != "" {
		s.bed.tb.Errorf("%s: replicas of %s: %s:\n%s", s.Name, service, problem, containerText(running))
	}
}
