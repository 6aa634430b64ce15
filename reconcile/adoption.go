package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"davit/compose"
)

// AdoptMode says which running projects are taken over without being asked.
type AdoptMode int

const (
	// AdoptIdentical takes over, without a restart, what is just as declared.
	AdoptIdentical AdoptMode = iota
	// AdoptAll takes over whatever is declared and rolls what differs.
	AdoptAll
	// AdoptNone takes over nothing before an operator says so.
	AdoptNone
)

var adoptModes = [...]string{"identical", "all", "none"}

func (m AdoptMode) String() string { return adoptModes[m] }

// ParseAdoptMode is the inverse of String.
func ParseAdoptMode(s string) (AdoptMode, error) {
	i, err := indexOf(adoptModes[:], s, "way to adopt")
	return AdoptMode(i), err
}

// Adoption is what taking over a running project means.
type Adoption struct {
	// Owner is the other davit that some of its containers belong to, or "".
	Owner string
	// Obstacle is why it cannot be taken over at all, whoever agrees.
	Obstacle error
	// Differences are between what runs and what is declared, in the order of
	// services; none means that nothing but the record changes.
	Differences []Difference
	// services are what runs, by service; those that nobody declares included.
	services map[string]presence
}

// Difference is one reason why what runs is not what is declared.
type Difference struct {
	// Service is "" for what concerns the whole stack.
	Service string
	Text    string
}

func (d Difference) String() string {
	if d.Service == "" {
		return d.Text
	}
	return d.Service + ": " + d.Text
}

// Identical reports whether adopting changes nothing that runs.
func (a Adoption) Identical() bool {
	return len(a.Differences) == 0 && a.Owner == "" && a.Obstacle == nil
}

// Summary is the differences in one line, shortened.
func (a Adoption) Summary() string {
	var parts []string
	for i, d := range a.Differences {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("and %d more", len(a.Differences)-i))
			break
		}
		parts = append(parts, d.String())
	}
	return strings.Join(parts, "; ")
}

// presence is what runs under the name of a service.
type presence struct {
	containers []Container
	// equal is true when all of them were made from what is declared.
	equal bool
}

// live are those of the containers that have a process, or will have again.
func (r presence) live() []Container {
	var out []Container
	for _, c := range r.containers {
		if c.Running() || c.State == Restarting {
			out = append(out, c)
		}
	}
	return out
}

// originOf is where Compose ran what runs of the stack p, nil where that was
// davit's own directory or is not known. It is an error when containers of one
// project come from several directories.
func originOf(p *compose.Project, o Observed, stack string) (*compose.Origin, error) {
	var origin *compose.Origin
	shared := peers(o, stack)
	for _, c := range o.Containers {
		if c.Stack != stack || c.OneOff || c.WorkingDir == "" || c.WorkingDir == p.WorkingDir {
			continue
		}
		if origin == nil {
			origin = &compose.Origin{WorkingDir: c.WorkingDir, ConfigFiles: c.ConfigFiles}
		}
		if c.WorkingDir != origin.WorkingDir {
			return nil, WithHint(fmt.Errorf("its containers were made in several directories, %s and %s", origin.WorkingDir, c.WorkingDir),
				"bring it up from one directory with Compose first")
		}
		if g, ok := generation(p, c, shared); ok && g > origin.By {
			origin.By = g
		}
	}
	return origin, nil
}

// NewAdoption compares what runs of a stack with what p, which stands in the
// directory that Compose ran it in, declares.
func NewAdoption(p *compose.Project, o Observed, instance string) Adoption {
	a := Adoption{services: map[string]presence{}}
	for _, c := range o.Containers {
		if c.Stack != p.Name || c.OneOff || c.State == Removing {
			continue
		}
		if c.Instance != "" && c.Instance != instance {
			a.Owner = c.Instance
		}
		r := a.services[c.Service]
		r.containers = append(r.containers, c)
		a.services[c.Service] = r
	}
	like := comparison{project: p, peers: peers(o, p.Name), instance: instance}
	for _, s := range p.Services {
		r := a.services[s.Name]
		var found []string
		found, r.equal = like.service(s, r)
		if len(r.containers) > 0 {
			a.services[s.Name] = r
		}
		for _, text := range found {
			a.Differences = append(a.Differences, Difference{s.Name, text})
		}
	}
	for _, name := range sortedKeys(a.services) {
		if _, declared := p.Service(name); !declared {
			a.Differences = append(a.Differences, Difference{name, undeclared(p, a.services[name])})
		}
	}
	a.compareNetworks(p, o)
	if len(a.Differences) == 0 {
		a.compareFiles(p)
	}
	slices.SortStableFunc(a.Differences, func(x, y Difference) int { return cmp.Compare(x.Service, y.Service) })
	return a
}

func undeclared(p *compose.Project, r presence) string {
	what := "stopped"
	if !p.Settings.Prune {
		what = "left running, because prune is false"
	}
	return fmt.Sprintf("is not declared; %s would be %s", nameList(r.containers), what)
}

func (a *Adoption) compareNetworks(p *compose.Project, o Observed) {
	for _, key := range sortedKeys(p.Model.Networks) {
		n := p.Model.Networks[key]
		if bool(n.External) || !usesNetwork(p, key) {
			continue
		}
		i := slices.IndexFunc(o.Networks, func(f Network) bool { return f.Name == n.Name })
		switch {
		case i < 0:
			a.Differences = append(a.Differences, Difference{"", fmt.Sprintf("network %s does not exist", n.Name)})
		case o.Networks[i].ConfigHash != "" && o.Networks[i].ConfigHash != p.NetworkHash(key):
			a.Differences = append(a.Differences, Difference{"", fmt.Sprintf("network %s was made from another definition", n.Name)})
		}
	}
}

func usesNetwork(p *compose.Project, key string) bool {
	return slices.ContainsFunc(p.Services, func(s compose.Service) bool { return has(s.Config.Networks, key) })
}

// compareFiles looks at the files from Git that containers mount: Compose's hash does
// not cover what is in them, and davit mounts what the repository has. What cannot be
// seen from here is taken to be the same.
func (a *Adoption) compareFiles(p *compose.Project) {
	for _, s := range p.Services {
		for _, v := range s.Config.Volumes {
			i := slices.IndexFunc(p.Content, func(c compose.Content) bool { return v.Type == "bind" && c.To == v.Source && !c.Writable && !c.Sealed })
			if i < 0 {
				continue
			}
			for _, c := range a.services[s.Name].containers {
				j := slices.IndexFunc(c.Mounts, func(m Mount) bool { return m.Path == strings.TrimSuffix(v.Target, "/") })
				if j < 0 || c.Mounts[j].Source == v.Source {
					continue
				}
				if same, err := p.Content[i].At(c.Mounts[j].Source); err == nil && !same {
					a.Differences = append(a.Differences, Difference{s.Name, c.Mounts[j].Source + " is not what the repository has"})
					break
				}
			}
		}
	}
}

// comparison holds what runs of a stack against what project declares.
type comparison struct {
	project  *compose.Project
	peers    map[string]string
	instance string
}

// service says what is different about one service, and whether its containers
// were made from what is declared.
func (like comparison) service(s compose.Service, r presence) (found []string, equal bool) {
	u := &unit{Service: s}
	switch live := r.live(); {
	case len(r.containers) == 0 && s.OneShot:
		return []string{"has not run; it would be run"}, false
	case len(r.containers) == 0:
		return []string{"does not run; it would be created"}, false
	case !s.OneShot && len(live) != s.Replicas && !slices.ContainsFunc(r.containers, u.completed):
		found = append(found, fmt.Sprintf("%s: %d declared", runs(len(live)), s.Replicas))
	}
	equal = true
	for _, c := range r.containers {
		if !c.Running() && c.State != Restarting && !u.completed(c) {
			found = append(found, fmt.Sprintf("%s is %s", c.Name, c.State))
		}
		made := like.made(s, c)
		equal = equal && made && c.ImageID == r.containers[0].ImageID
		if !made {
			found = append(found, like.changes(s, c)...)
		}
		if c.Running() {
			found = append(found, like.attachments(s, c)...)
		}
	}
	if slices.ContainsFunc(r.containers, func(c Container) bool { return c.ImageID != r.containers[0].ImageID }) {
		found = append(found, "its replicas run different images")
	}
	var once []string
	for _, text := range found {
		if !slices.Contains(once, text) {
			once = append(once, text)
		}
	}
	return once, equal
}

// made reports whether c was made from what s declares, by Compose or by davit.
func (like comparison) made(s compose.Service, c Container) bool {
	if c.Instance == like.instance {
		return c.Spec == s.Hash
	}
	return madeBy(like.project, c, like.peers)
}

func runs(n int) string {
	if n == 1 {
		return "1 replica runs"
	}
	return fmt.Sprintf("%d replicas run", n)
}

func nameList(containers []Container) string {
	var out []string
	for _, c := range containers {
		out = append(out, c.Name)
	}
	return strings.Join(out, ", ")
}
