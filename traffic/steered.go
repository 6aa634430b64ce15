package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Steered is a load balancer of the host's own together with the table that it took
// last, which is on disk: the program itself knows servers, but neither releases nor how
// long they may drain.
type Steered struct {
	// Name is that of the configuration, Kind the program's.
	Name, Kind string
	balancer   Balancer
	path       string

	// mu is held while the balancer is told something.
	mu sync.Mutex
	// barred are the ends that nobody vouches for.
	barred map[abode]bool
}

// abode is a container at an address, in one of its lives.
type abode struct {
	identity
	address string
}

func abodeOf(b Backend) abode { return abode{b.identity(), b.Address.Addr().String()} }

// NewSteered returns the balancer of that name. Its table is below the data directory.
func NewSteered(data, name, kind string, b Balancer) *Steered {
	return &Steered{Name: name, Kind: kind, balancer: b, path: filepath.Join(data, "balancers", name+".json")}
}

// Table is what the balancer took last; one of generation 0 if that is not known.
func (s *Steered) Table() (Table, error) {
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Table{}, nil
	}
	var t Table
	if err == nil && json.Unmarshal(text, &t) != nil {
		return Table{}, nil // it is told everything anew
	}
	if err != nil {
		return Table{}, fmt.Errorf("table of %s: %w", s.Name, err)
	}
	return t, nil
}

// Look is how the balancer stands to the table that it took last.
func (s *Steered) Look(ctx context.Context) (Table, Standing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.Table()
	if err != nil {
		return t, Standing{}, err
	}
	standing, err := s.balancer.Look(ctx, s.vouched(t))
	return t, standing, err
}

// Apply returns when t holds for everything that begins, and is known to.
func (s *Steered) Apply(ctx context.Context, t Table) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.balancer.Apply(ctx, s.vouched(t)); err != nil {
		return err
	}
	text, err := json.Marshal(t)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.path), 0o700)
	}
	if err == nil {
		err = replaceFile(s.path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("table of %s: %w", s.Name, err)
	}
	return nil
}

// again has the balancer take once more what it took last, and reports whether it does.
func (s *Steered) again(ctx context.Context, log *slog.Logger) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.Table()
	if err == nil {
		err = s.balancer.Apply(ctx, s.vouched(t))
	}
	if err != nil {
		log.WarnContext(ctx, "a load balancer does not take again what it was told", "balancer", s.Name, "error", err)
		return false
	}
	log.InfoContext(ctx, "a load balancer was told again what it had lost", "balancer", s.Name)
	return true
}

// vouched is t with nothing new for those that are barred. The caller holds s.mu.
func (s *Steered) vouched(t Table) Table {
	if len(s.barred) == 0 {
		return t
	}
	t.Ports = slices.Clone(t.Ports)
	for i := range t.Ports {
		ends := slices.Clone(t.Ports[i].Backends)
		for j := range ends {
			if s.barred[abodeOf(ends[j])] && ends[j].Drain == nil {
				ends[j].Drain = &Drain{}
			}
		}
		t.Ports[i].Backends = ends
	}
	return t
}

// ends are all of the table's that a balancer may hand something to.
func (t Table) ends() []Backend {
	var out []Backend
	for _, p := range t.Ports {
		out = append(out, p.Backends...)
	}
	return out
}

// vouch bars exactly those ends for whom believed says no, and has the balancer hold to
// that. It reports whether it does.
func (s *Steered) vouch(ctx context.Context, believed func(Backend) bool, log *slog.Logger) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.Table()
	if err != nil {
		log.WarnContext(ctx, "the addresses behind a load balancer are not confirmed", "balancer", s.Name, "error", err)
		return false
	}
	barred, news := map[abode]bool{}, false
	for _, b := range t.ends() {
		if b.Drain == nil && !believed(b) {
			barred[abodeOf(b)] = true
		}
		news = news || barred[abodeOf(b)] != s.barred[abodeOf(b)]
	}
	s.barred = barred
	if !news {
		return true
	}
	if len(barred) > 0 {
		log.WarnContext(ctx, "containers behind a load balancer get nothing new: nobody vouches for their addresses", "balancer", s.Name, "containers", len(barred))
	} else {
		log.InfoContext(ctx, "what is behind a load balancer is known again", "balancer", s.Name)
	}
	if err := s.balancer.Apply(ctx, s.vouched(t)); err != nil {
		log.WarnContext(ctx, "a load balancer cannot be told whose addresses are known", "balancer", s.Name, "error", err)
		return false
	}
	return true
}
