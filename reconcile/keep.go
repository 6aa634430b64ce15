package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"davit/compose"
)

// keepPrefix is where the tags live that hold the images of good releases, as
// keepPrefix + "STACK/SERVICE:rSEQ".
const keepPrefix = "davit.local/keep/"

// keepInterval is how often the keep tags are verified. `docker image prune -a`
// and `docker system prune` take them away like any tag without a container.
const keepInterval = 10 * time.Minute

func keepTag(stack, service string, seq int64) string {
	return fmt.Sprintf("%s%s/%s:r%d", keepPrefix, compose.ImagePath(stack), compose.ImagePath(service), seq)
}

// wanted are the keep tags that a stack's last good releases need, and the images
// that they mean.
func (l *Loop) wanted(history []Release) map[string]Image {
	out := map[string]Image{}
	// What was only brought back or corrected counts once.
	contents := map[string]bool{}
	for _, r := range history {
		if !r.Good() || contents[r.Hash] {
			continue
		}
		if contents[r.Hash] = true; len(contents) > l.KeepReleases {
			break
		}
		for _, s := range r.Services {
			if s.Image.ID != "" {
				out[keepTag(r.Stack, s.Name, r.Seq)] = s.Image
			}
		}
	}
	return out
}

// keepImages tags the images of a release that has just succeeded and lets go of
// those that no kept release needs. A failure is not the release's: the tags are
// verified again later.
func (l *Loop) keepImages(ctx context.Context, r Release) {
	l.mu.Lock()
	history := l.stacks[r.Stack].history
	l.mu.Unlock()
	err := l.retag(ctx, r.Stack, l.wanted(history))
	if slices.ContainsFunc(history, Release.built) {
		err = errors.Join(err, l.forgetBuilds(ctx, r.Stack, l.wanted(history)))
	}
	if err != nil {
		l.Logger.Warn("images of good releases not all kept", "stack", r.Stack, "error", err)
	}
}

// retag brings the keep tags of one stack in line with wanted. It returns what
// could not be done; one image does not stop another.
func (l *Loop) retag(ctx context.Context, stack string, wanted map[string]Image) error {
	tags, err := l.Keeper.KeepTags(ctx)
	if err != nil {
		return err
	}
	problems := []error{l.holdAll(ctx, wanted, tags)}
	for _, tag := range sortedKeys(tags) {
		if !has(wanted, tag) && strings.HasPrefix(tag, keepPrefix+compose.ImagePath(stack)+"/") {
			problems = append(problems, l.Keeper.Untag(ctx, tag))
		}
	}
	return errors.Join(problems...)
}

// forgetBuilds lets go of images that were built for a stack and that no kept
// release has.
func (l *Loop) forgetBuilds(ctx context.Context, stack string, wanted map[string]Image) error {
	ids := map[string]bool{}
	for _, image := range wanted {
		ids[image.ID] = true
	}
	tags, err := l.Keeper.BuildTags(ctx)
	problems := []error{err}
	for _, tag := range sortedKeys(tags) {
		if !ids[tags[tag]] && strings.HasPrefix(tag, compose.BuildTagPrefix+compose.ImagePath(stack)+"/") {
			problems = append(problems, l.Keeper.Untag(ctx, tag))
		}
	}
	return errors.Join(problems...)
}

// holdAll makes sure that every wanted tag is among those that there are. It lets
// go of none: a record that was lost, or another davit's stack of the same name,
// must not cost images.
func (l *Loop) holdAll(ctx context.Context, wanted map[string]Image, tags map[string]string) error {
	var problems []error
	for _, tag := range sortedKeys(wanted) {
		if tags[tag] != wanted[tag].ID {
			problems = append(problems, l.hold(ctx, tag, wanted[tag]))
		}
	}
	return errors.Join(problems...)
}

// hold tags one image, fetching it again by digest if it is gone.
func (l *Loop) hold(ctx context.Context, tag string, image Image) error {
	err := l.Keeper.Tag(ctx, image.ID, tag)
	if errors.Is(err, ErrImageMissing) && image.Digest != "" {
		plan := Plan{Steps: []Step{{ID: 1, Kind: StepPull, Image: image, Reason: "kept for a rollback"}}}
		if err = l.Executor.Execute(ctx, Job{Plan: plan, Report: func(Event) {}}).Err; err == nil {
			err = l.Keeper.Tag(ctx, image.ID, tag)
		}
	}
	if err != nil {
		return fmt.Errorf("keep image %s as %s: %w", image.Pinned(), tag, err)
	}
	return nil
}

// unverified are the histories of the stacks at rest whose keep tags are due to be
// verified: now and then, and once in every life of the agent, since the last one
// may have ended between a release and its tags. The caller holds l.mu.
func (l *Loop) unverified(now time.Time) map[string][]Release {
	due := map[string][]Release{}
	for name, s := range l.stacks {
		if s.work == nil && s.loaded && l.actsOn(name) && s.view.sync != SyncUnadopted && !now.Before(s.keepAt) {
			s.keepAt = now.Add(keepInterval)
			due[name] = s.history
		}
	}
	return due
}

// verifyKeepTags finds keep tags that are missing, and says which releases can no
// longer be restored.
func (l *Loop) verifyKeepTags(ctx context.Context, histories map[string][]Release) {
	tags, err := l.Keeper.KeepTags(ctx)
	if err != nil {
		l.Logger.Warn("images of good releases not verified", "error", err)
		return
	}
	for _, name := range sortedKeys(histories) {
		err := l.holdAll(ctx, l.wanted(histories[name]), tags)
		if errors.Is(err, ErrImageMissing) && l.firstLoss(name, err.Error()) {
			l.Emit(Event{At: l.Now(), Stack: name, Kind: EventNotRestorable, Severity: SeverityWarning,
				Message: "an earlier release can no longer be restored exactly: " + err.Error()})
		}
	}
}

// firstLoss reports whether a loss has not been reported yet.
func (l *Loop) firstLoss(stack, what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stacks[stack]
	if s.lost == what {
		return false
	}
	s.lost = what
	return true
}
