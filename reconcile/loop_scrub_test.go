package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Errors of engines and registries quote what they were given.
func TestNoErrorShowsASecret(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.stop()
		h.scrub = func(text string) string { return strings.ReplaceAll(text, "hunter2", "***") }
		h.boot()
		h.image("shop:1.0", healthy())
		h.engine.RegistryFails(errors.New("refused: user:hunter2@registry"))
		h.push("v1.0.0", web("2.0"))
		h.pass(time.Minute)
		shown := fmt.Sprintf("%+v\n%s", h.status(), h.story())
		if strings.Contains(shown, "hunter2") || !strings.Contains(shown, "user:***@registry") {
			t.Errorf("shown:\n%s", shown)
		}
	})
}
