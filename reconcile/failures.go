package reconcile

import (
	"slices"

	"davit/compose"
)

// failedContainers are the containers of failed attempts; true while one is
// still kept for inspection, which ends with the next success of anything but
// the rollback itself.
func failedContainers(history []Release) map[string]bool {
	out := map[string]bool{}
	succeeded, healed := false, map[string]bool{}
	for _, r := range history {
		for _, s := range r.Services {
			for _, id := range s.Failed {
				out[id] = !succeeded && !(r.Kind == KindDriftFix && healed[s.Name])
			}
			// Of what was replaced because it failed, or failed in its place, the last is enough.
			healed[s.Name] = healed[s.Name] || r.Kind == KindDriftFix && len(s.Failed) > 0
		}
		switch r.Kind {
		case KindDeploy, KindRollback, KindManualRollback, KindAdopt:
			succeeded = succeeded || r.Outcome == Succeeded
		}
	}
	return out
}

// dataOf are the unnamed volumes on record, by service: those of the newest good
// release that had any.
func dataOf(history []Release) map[string][]map[string]string {
	out := map[string][]map[string]string{}
	for _, r := range history {
		for _, s := range r.Services {
			if r.Good() && out[s.Name] == nil && len(s.Data) > 0 {
				out[s.Name] = s.Data
			}
		}
	}
	return out
}

// service are the attempts at something that was not proven before and did not succeed,
// and the containers that were in service. What a correction makes, and what a drill brings
// back, runs proven content: it serves once it has passed its gate, whatever becomes of the
// rest.
func service(history []Release) (unproven map[int64]bool, served map[string]bool) {
	unproven, served = map[int64]bool{}, map[string]bool{}
	for _, r := range history {
		unproven[r.Seq] = r.Outcome != Succeeded && r.Outcome != OutcomeRunning && r.Kind != KindDriftFix
		proven := r.Good() || r.Kind == KindDriftFix || r.Kind == KindDrill && r.Outcome == Succeeded
		for _, s := range r.Services {
			for _, id := range s.Containers {
				served[id] = served[id] || proven && !slices.Contains(s.Failed, id)
			}
		}
	}
	return unproven, served
}

// completions are the one-shot services whose success with exactly this content
// is on record.
func completions(history []Release, p *compose.Project, images map[string]Image) map[string]bool {
	out := map[string]bool{}
	for _, s := range p.Services {
		if !s.OneShot {
			continue
		}
		out[s.Name] = slices.ContainsFunc(history, func(r Release) bool {
			rec, ok := r.Service(s.Name)
			return ok && r.Outcome == Succeeded && rec.Completed && rec.Spec == s.Hash && rec.Image.Same(images[s.Name])
		})
	}
	return out
}
