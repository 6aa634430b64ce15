package reconcile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
)

// pushBuilt declares the stack shop with a service that is built of a Dockerfile
// and one file; more are lines of the service.
func (h *host) pushBuilt(version, content string, more ...string) {
	h.t.Helper()
	root := h.t.TempDir()
	text := "name: shop\nservices:\n  web:\n    build: .\n    restart: always\n"
	for _, line := range more {
		text += "    " + line + "\n"
	}
	for name, content := range map[string]string{"compose.yaml": text, "Dockerfile": "FROM scratch\nCOPY content /\n", "content": content, ".dockerignore": "compose.yaml"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			h.t.Fatal(err)
		}
	}
	policy, err := compose.ParsePolicy("policy", []byte("rules: {build: true}"))
	if err != nil {
		h.t.Fatal(err)
	}
	p, err := compose.Load(h.t.Context(), compose.Stack{Name: "shop", Dir: ".", Files: []string{"compose.yaml"}},
		compose.LoadOptions{Root: root, DataDir: "/data", Policy: policy})
	if err != nil {
		h.t.Fatal(err)
	}
	h.push(version, "")
	h.declared["shop"] = p
	h.declare()
}

// builds counts how often the engine was asked to build.
func (h *host) builds() int {
	n := 0
	for _, op := range h.engine.Log() {
		if op.Kind == enginetest.OpBuild {
			n++
		}
	}
	return n
}

func TestAnUnchangedContextIsNotBuiltAgain(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.engine.Buildable("shop-web", healthy(), nil)
		h.pushBuilt("v1.0.0", "one")
		h.pass(time.Minute)
		h.expect("running", h.running(), "web/1 shop-web")
		first := h.images()["web"]
		h.pushBuilt("v1.0.1", "one", "environment: {A: b}")
		h.pass(time.Minute)
		h.stop()
		h.boot()
		h.pass(3 * time.Hour)
		if n := h.builds(); n != 1 || h.images()["web"] != first {
			t.Errorf("%d builds; web ran %s and runs %s", n, first, h.images()["web"])
		}
		h.pushBuilt("v1.1.0", "two")
		h.pass(3 * time.Hour)
		if n := h.builds(); n != 2 || h.images()["web"] == first {
			t.Errorf("%d builds after a change; web runs %s as before", n, first)
		}
		h.pushBuilt("v1.1.1", "one", "environment: {A: b}")
		h.pass(time.Minute)
		if n := h.builds(); n != 2 || h.images()["web"] != first {
			t.Errorf("%d builds after the revert; web runs %s, not %s", n, h.images()["web"], first)
		}
		h.expect("history", h.history(), `#1 deploy v1.0.0 succeeded
#2 deploy v1.0.1 succeeded
#3 deploy v1.1.0 succeeded
#4 rollback v1.1.1 succeeded restores #2`)
	})
}

func TestThePlanOfABuildSaysWhatChanged(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.engine.Buildable("shop-web", healthy(), nil)
		h.pushBuilt("v1.0.0", "one")
		h.pass(time.Minute)
		h.stop()
		h.observeOnly = true // or it would be built before it can be looked at
		h.boot()
		h.pushBuilt("v1.1.0", "two")
		h.pass(time.Second)
		plans, err := h.loop.Plan(t.Context(), reconcile.PlanRequest{Stack: "shop"})
		if err != nil || len(plans) != 1 {
			t.Fatal(plans, err)
		}
		if text := plans[0].String(); !strings.Contains(text, "build   web    context changed") {
			t.Errorf("plan:\n%s", text)
		}
	})
}

// What an image declares is known only once it is built: a volume in it makes the
// replacement stop-first all the same.
func TestABuiltImagesVolumeIsHandedOn(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		stateful := healthy()
		stateful.Volumes = []string{"/data"}
		h.engine.Buildable("shop-web", stateful, nil)
		h.pushBuilt("v1.0.0", "one")
		h.pass(time.Minute)
		data := h.observe().Containers[0].Volumes["/data"]
		h.pushBuilt("v1.1.0", "two")
		h.pass(time.Minute)
		for _, c := range h.observe().Containers {
			if c.Running() && (c.Volumes["/data"] != data || data == "") {
				t.Errorf("%s has volume %q, want %q", c.Name, c.Volumes["/data"], data)
			}
		}
		h.expect("running", h.running(), "web/2 shop-web")
	})
}

func TestABuildThatFailsIsStalledAndLeavesWhatRuns(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.engine.Buildable("shop-web", healthy(), nil)
		h.pushBuilt("v1.0.0", "one")
		h.pass(time.Minute)
		h.engine.Buildable("shop-web", healthy(), errors.New("make: *** No rule"))
		h.pushBuilt("v1.1.0", "two")
		h.pass(time.Minute)
		s := h.status()
		if s.Sync != reconcile.SyncStalled || !strings.Contains(s.WaitingFor+s.LastError, "make: *** No rule") {
			t.Errorf("%s: %q, %q", s.Sync, s.WaitingFor, s.LastError)
		}
		if held := h.emitted(reconcile.EventHeld); held > 0 {
			t.Error("it is held")
		}
		if rec := h.record.releases[0].Services[0]; !strings.Contains(rec.Logs, "No rule") {
			t.Errorf("of the output is kept: %q", rec.Logs)
		}
		// What runs is held up meanwhile.
		h.engine.RemoveByHand(h.observe().Containers[0].ID)
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "web/1 shop-web")
		if n := h.builds(); n > 4 {
			t.Errorf("%d builds within minutes", n)
		}
		// And in the end it works.
		h.engine.Buildable("shop-web", healthy(), nil)
		h.pass(time.Hour)
		h.expect("sync", string(h.status().Sync), "synced")
	})
}

func TestAPublishedImageIsNotBuilt(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		published := h.engine.Publish("shop:1", healthy())
		h.engine.Buildable("shop:1", healthy(), nil)
		h.pushBuilt("v1.0.0", "one", "image: 'shop:1'")
		h.pass(time.Minute)
		if now := h.images()["web"]; now != published.ID || h.builds() > 0 {
			t.Errorf("web runs %s after %d builds, want %s", now, h.builds(), published.ID)
		}
		before := h.observe().Containers[0].ID
		h.pushBuilt("v1.0.1", "two", "image: 'shop:1'")
		h.pass(time.Minute)
		if c := h.observe().Containers; len(c) != 1 || c[0].ID != before {
			t.Error("a change of what is not built made a new container")
		}
	})
}

func TestAnImageThatIsPublishedNowhereIsBuilt(t *testing.T) {
	for name, mood := range map[string]error{
		"missing": nil, "denied": reconcile.ErrRegistryDenied, "unavailable": reconcile.ErrRegistryUnavailable,
	} {
		simulate(t, func(t *testing.T, h *host) {
			h.engine.RegistryFails(mood)
			h.engine.Buildable("shop:1", healthy(), nil)
			h.pushBuilt("v1.0.0", "one", "image: 'shop:1'")
			h.pass(time.Minute)
			first := h.images()["web"]
			h.pushBuilt("v1.1.0", "two", "image: 'shop:1'")
			h.pass(time.Minute)
			if now := h.images()["web"]; first == "" || now == first || h.builds() != 2 {
				t.Errorf("%s: web ran %q and runs %q after %d builds", name, first, now, h.builds())
			}
		})
	}
}

func TestWhatWasBuiltForReleasesThatAreNotKeptIsLetGo(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.engine.Buildable("shop-web", healthy(), nil)
		for i, content := range []string{"one", "two", "three", "four", "five"} {
			h.pushBuilt(fmt.Sprintf("v1.%d.0", i), content)
			h.pass(3 * time.Hour)
		}
		tags, err := h.engine.BuildTags(t.Context())
		if err != nil || len(tags) != 3 {
			t.Errorf("%d images are left, want those of 3 releases: %v (%v)", len(tags), tags, err)
		}
	})
}
