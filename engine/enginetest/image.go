package enginetest

import (
	"context"

	"fmt"
	"slices"
	"strings"
	"time"

	"davit/compose"
	"davit/engine"
	"davit/reconcile"
)

// library holds the engine's images and those that the registry would serve.
type library struct {
	local  map[string]picture // by ID
	tags   map[string]string  // reference to ID
	remote map[string]picture // by reference
	mood   error              // of the registry
	// buildable are what can be built, by the name of the image.
	buildable map[string]recipe
}

// picture is an image: what it is and what its containers do.
type picture struct {
	id, repository, digest string
	behaviour              Behaviour
}

func newLibrary() library {
	return library{local: map[string]picture{}, tags: map[string]string{}, remote: map[string]picture{}, buildable: map[string]recipe{}}
}

// AddImage puts a new image into the engine as ref, as `docker build -t` does. A
// second image under one ref takes the tag from the first.
func (e *Engine) AddImage(ref string, b Behaviour) reconcile.Image {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := picture{id: "sha256:" + e.newID("image"), repository: repository(ref), behaviour: b}
	e.images.local[p.id] = p
	e.images.tags[tagged(ref)] = p.id
	return p.image(ref, true)
}

// Turn makes the containers that are created of an image from now on behave
// otherwise.
func (e *Engine) Turn(ref string, b Behaviour) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p, ok := e.images.find(ref); ok {
		p.behaviour = b
		e.images.local[p.id] = p
	}
}

// Publish puts a new image into the registry as ref, from where Pull gets it.
func (e *Engine) Publish(ref string, b Behaviour) reconcile.Image {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := picture{
		id:         "sha256:" + e.newID("image"),
		digest:     "sha256:" + e.newID("manifest"),
		repository: repository(ref),
		behaviour:  b,
	}
	e.images.remote[tagged(ref)] = p
	e.images.remote[p.repository+"@"+p.digest] = p
	return p.image(ref, false)
}

// Resolve is what the registry answers for ref.
func (e *Engine) Resolve(ref string) (reconcile.Image, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, err := e.images.fetch(ref)
	if err != nil {
		return reconcile.Image{}, err
	}
	_, local := e.images.local[p.id]
	return p.image(ref, local), nil
}

// RegistryFails makes every request to the registry fail with err; nil ends it.
func (e *Engine) RegistryFails(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.images.mood = err
}

func (l *library) fetch(ref string) (picture, error) {
	if l.mood != nil {
		return picture{}, l.mood
	}
	p, ok := l.remote[tagged(ref)]
	if !ok {
		return picture{}, fmt.Errorf("%s: %w", ref, reconcile.ErrImageMissing)
	}
	return p, nil
}

// find looks a tag, a repository@digest or an ID up among the local images.
func (l *library) find(ref string) (picture, bool) {
	if p, ok := l.local[ref]; ok {
		return p, true
	}
	if p, ok := l.local[l.tags[tagged(ref)]]; ok {
		return p, true
	}
	repo, digest, ok := strings.Cut(ref, "@")
	if !ok {
		return picture{}, false
	}
	for _, p := range l.local {
		if p.digest == digest && p.repository == repository(repo) {
			return p, true
		}
	}
	return picture{}, false
}

func (p picture) image(ref string, local bool) reconcile.Image {
	return reconcile.Image{
		Ref: ref, ID: p.id, Digest: p.digest, Local: local, Platform: p.behaviour.Platform,
		Volumes: slices.Sorted(slices.Values(p.behaviour.Volumes)), Healthcheck: p.behaviour.Healthcheck,
	}
}

// LocalImage returns the image that ref means to the engine.
func (e *Engine) LocalImage(ctx context.Context, ref string) (reconcile.Image, error) {
	var found reconcile.Image
	err := e.read(ctx, "inspect image "+ref, func(time.Time) error {
		p, ok := e.images.find(ref)
		if !ok {
			return reconcile.ErrImageMissing
		}
		found = p.image(ref, true)
		if p.repository != repository(ref) {
			found.Digest = ""
		}
		return nil
	})
	return found, err
}

// Pull fetches exactly what i pins.
func (e *Engine) Pull(ctx context.Context, i reconcile.Image) (reconcile.Image, error) {
	got := i
	err := e.mutate(ctx, Op{Kind: OpPull, Target: i.Ref}, func(time.Time) error {
		p, ok := e.images.local[i.ID]
		if !ok {
			ref := i.Ref
			if i.Digest != "" {
				ref = i.Pinned()
			}
			var err error
			if p, err = e.images.fetch(ref); err != nil {
				return err
			}
			if i.ID != "" && p.id != i.ID {
				return fmt.Errorf("got image %s, not %s", p.id, i.ID)
			}
			e.images.local[p.id] = p
			e.images.tags[tagged(i.Ref)] = p.id
		}
		got = p.image(i.Ref, true)
		if got.Digest == "" {
			got.Digest = i.Digest
		}
		return nil
	})
	return got, err
}

// Tag makes ref mean the image with the given ID.
func (e *Engine) Tag(ctx context.Context, id, ref string) error {
	return e.mutate(ctx, Op{Kind: OpTag, Target: ref, Detail: id}, func(time.Time) error {
		p, ok := e.images.find(id)
		if !ok {
			return reconcile.ErrImageMissing
		}
		e.images.tags[tagged(ref)] = p.id
		return nil
	})
}

// Untag removes ref, and the image with its last tag unless a container uses it.
func (e *Engine) Untag(ctx context.Context, ref string) error {
	return e.mutate(ctx, Op{Kind: OpUntag, Target: ref}, func(time.Time) error {
		id, ok := e.images.tags[tagged(ref)]
		if !ok {
			return nil
		}
		last := true
		for other, its := range e.images.tags {
			last = last && (other == tagged(ref) || its != id)
		}
		if last && e.inUse(id) {
			return fmt.Errorf("%w, and this is its last name", engine.ErrImageInUse)
		}
		delete(e.images.tags, tagged(ref))
		if last {
			delete(e.images.local, id)
		}
		return nil
	})
}

// RemoveImage removes the image with the given ID and all its names, unless a
// container uses it.
func (e *Engine) RemoveImage(ctx context.Context, id string) error {
	return e.mutate(ctx, Op{Kind: OpRemoveImage, Target: id}, func(time.Time) error {
		if e.inUse(id) {
			return engine.ErrImageInUse
		}
		e.forget(id)
		return nil
	})
}

// DeleteImage takes an image away as `docker image prune -a` by somebody would.
func (e *Engine) DeleteImage(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forget(id)
}

func (e *Engine) forget(id string) {
	delete(e.images.local, id)
	for ref, its := range e.images.tags {
		if its == id {
			delete(e.images.tags, ref)
		}
	}
}

func (e *Engine) inUse(id string) bool {
	for _, c := range e.containers {
		if c.face.ImageID == id {
			return true
		}
	}
	return false
}

// KeepTags returns the local keep tags and the image ID of each.
func (e *Engine) KeepTags(ctx context.Context) (map[string]string, error) {
	return e.tagsBelow(ctx, engine.KeepPrefix)
}

// BuildTags returns the tags of what was built and the image ID of each.
func (e *Engine) BuildTags(ctx context.Context) (map[string]string, error) {
	return e.tagsBelow(ctx, compose.BuildTagPrefix)
}

func (e *Engine) tagsBelow(ctx context.Context, prefix string) (map[string]string, error) {
	found := map[string]string{}
	err := e.read(ctx, "list tags below "+prefix, func(time.Time) error {
		for ref, id := range e.images.tags {
			if strings.HasPrefix(ref, prefix) {
				found[ref] = id
			}
		}
		return nil
	})
	return found, err
}

// tagged is ref with its tag written out; a digest or an ID is left alone.
func tagged(ref string) string {
	if strings.Contains(ref, "@") || strings.Contains(ref[strings.LastIndex(ref, "/")+1:], ":") {
		return ref
	}
	return ref + ":latest"
}

func repository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		return ref[:i]
	}
	return ref
}
