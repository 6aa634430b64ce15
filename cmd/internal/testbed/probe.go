package testbed

import (
	"context"
	"net/url"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Ask reads what the engine answers at path into out.
func (e *Engine) Ask(ctx context.Context, path string, query url.Values, out any) error {
	return e.get(ctx, path, query, out)
}

// Tell posts in, which may be nil, as JSON to path.
func (e *Engine) Tell(ctx context.Context, path string, query url.Values, in any) error {
	return e.send(ctx, path, query, in, nil)
}

// Delete removes what is at path; what is gone is no error.
func (e *Engine) Delete(ctx context.Context, path string, query url.Values) error {
	return e.remove(ctx, path, query)
}

// Narrowed is the query of a list that the engine narrows by label, such as
// "com.docker.compose.project=shop", stopped containers included.
func Narrowed(label string) url.Values {
	query := filters(map[string][]string{"label": {label}})
	query.Set("all", "true")
	return query
}

// LoadImage puts an image into the engine as the tag ref, without a registry.
func (e *Engine) LoadImage(ctx context.Context, ref string, image v1.Image) error {
	return e.load(ctx, ref, image)
}
