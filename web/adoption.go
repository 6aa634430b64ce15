package web

import (
	"net/http"

	"davit/reconcile"
)

// Adoptions answers GET /v1/adoption.
type Adoptions struct {
	Stacks []Adoption `json:"stacks"`
}

// Adoption is what taking over one running project would mean.
type Adoption struct {
	Stack string `json:"stack"`
	// Identical is true when adopting it changes nothing that runs.
	Identical bool `json:"identical"`
	// Owner is the other davit that some of its containers belong to, or "".
	Owner string `json:"owner"`
	// Obstacle is why it cannot be adopted, or "".
	Obstacle    string       `json:"obstacle"`
	Differences []Difference `json:"differences"`
	// Plan is what adopting it would lead to.
	Plan Plan `json:"plan"`
	// Handover are the host ports that move from Docker to the edge then.
	Handover []string `json:"handover"`
}

// Difference is between what runs of a service and what is declared. Service is ""
// for what concerns the whole stack.
type Difference struct {
	Service string `json:"service"`
	Text    string `json:"text"`
}

// NewAdoptions is what the agent found.
func NewAdoptions(plans []reconcile.AdoptionPlan) Adoptions {
	out := Adoptions{Stacks: make([]Adoption, len(plans))}
	for i, p := range plans {
		a := Adoption{
			Stack: p.Stack, Identical: p.Adoption.Identical(), Owner: p.Adoption.Owner,
			Differences: make([]Difference, len(p.Adoption.Differences)),
			Plan:        NewPlans([]reconcile.Plan{p.Plan}).Plans[0],
			Handover:    make([]string, len(p.Handover)),
		}
		for j, h := range p.Handover {
			a.Handover[j] = h.String()
		}
		if err := p.Adoption.Obstacle; err != nil {
			a.Obstacle = err.Error()
		}
		for j, d := range p.Adoption.Differences {
			a.Differences[j] = Difference{Service: d.Service, Text: d.Text}
		}
		out.Stacks[i] = a
	}
	return out
}

func (s *Server) adoption(r *http.Request) (any, error) {
	plans, err := s.Agent.Adoptions(r.Context(), r.URL.Query().Get("stack"))
	if err != nil {
		return nil, err
	}
	return NewAdoptions(plans), nil
}
