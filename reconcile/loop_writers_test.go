package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"davit/reconcile"
)

// declareStacks declares every stack of the texts, by name, and nothing else.
func (h *host) declareStacks(stacks map[string]string) {
	h.t.Helper()
	h.pushes++
	h.revision = reconcile.Revision{Ref: "main", Commit: fmt.Sprintf("%040d", h.pushes), Version: fmt.Sprintf("v0.0.%d", h.pushes), Author: "ann"}
	clear(h.declared)
	for name, text := range stacks {
		h.declared[name] = loadProject(h.t, "name: "+name+"\n"+text)
	}
	h.declare()
}

// wrote fails the test if two containers ever wrote the source at one time.
func (h *host) wrote(source string) {
	h.t.Helper()
	if n := h.engine.MaxWriters(source); n != 1 {
		h.t.Errorf("%d writers of %s\nrunning %s\n%s\n%s", n, source, h.running(), h.history(), h.story())
	}
}

const database = "services:\n  db: {image: \"db:1\", restart: always, volumes: [\"/srv/db:/data\"]}\n"

func TestAServiceThatMovesToAnotherStackIsNeverWrittenTwice(t *testing.T) {
	const left = "services:\n  web: {image: \"shop:1.0\", restart: always}\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:1", healthy())
		h.image("shop:1.0", healthy())
		h.declareStacks(map[string]string{"shop": left + strings.TrimPrefix(database, "services:\n")})
		h.pass(time.Minute)
		h.declareStacks(map[string]string{"shop": left, "data": database})
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "db/1 db:1, web/1 shop:1.0")
		h.wrote("/srv/db")
	})
}

func TestAStackUnderANewNameWaitsForItsDataUntilTheOldOneIsGone(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:1", healthy())
		h.declareStacks(map[string]string{"shop": database})
		h.pass(time.Minute)
		h.declareStacks(map[string]string{"store": database})
		h.pass(10 * time.Minute)
		h.wrote("/srv/db")
		h.expect("running", h.running(), "db/1 db:1")
		if n := h.emitted(reconcile.EventStalled) + h.emitted(reconcile.EventWaiting); n == 0 || n > 2 {
			t.Errorf("it was said %d times:\n%s", n, h.story())
		}
		if err := h.loop.Remove(t.Context(), "shop", "ann"); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Minute)
		h.wrote("/srv/db")
		h.expect("running", h.running(), "db/1 db:1")
	})
}

func TestTwoStacksThatDeclareOnePathShareIt(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:1", healthy())
		h.declareStacks(map[string]string{"shop": database, "store": database})
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "db/1 db:1, db/1 db:1")
	})
}

// A project that somebody brought up after the first deploy had failed, or beside a
// stack that did not have the service before, holds its data.
func TestNothingWritesBesideAContainerThatSomebodyElseMade(t *testing.T) {
	const web = "services:\n  web: {image: \"shop:%s\", restart: always}\n"
	const db = "  db: {image: \"db:1\", restart: always, volumes: [\"data:/data\"]}\nvolumes: {data: }\n"
	for name, first := range map[string]string{"after a first deploy that failed": "bad", "of a service that is new": "1.0"} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("db:1", healthy())
				h.image("shop:1.0", healthy())
				h.image("shop:bad", sick())
				h.push("v1.0.0", fmt.Sprintf(web, first))
				h.pass(10 * time.Minute)
				h.handmade("db", "shop_data")
				h.push("v1.1.0", fmt.Sprintf(web, "1.0")+db)
				h.pass(10 * time.Minute)
				h.wrote("shop_data")
				for _, c := range h.observe().Containers {
					if c.Name == "shop-db-by-hand" && !c.Running() {
						t.Error("what somebody else made was stopped")
					}
				}
			})
		})
	}
}

// handmade is a container of the stack that somebody else made and that writes the
// volume.
func (h *host) handmade(service, volume string) string {
	h.t.Helper()
	image, err := h.engine.LocalImage(h.t.Context(), "db:1")
	if err != nil {
		h.t.Fatal(err)
	}
	return h.engine.AddContainer(reconcile.Container{Name: "shop-" + service + "-by-hand", Stack: "shop", Service: service, Number: 1,
		ImageRef: "db:1", ImageID: image.ID, State: reconcile.Running, Created: time.Now(), Started: time.Now(), Restart: "no",
		Endpoints: map[string]reconcile.Endpoint{}, Volumes: map[string]string{"/data": volume},
		Mounts:     []reconcile.Mount{{Path: "/data", Kind: reconcile.MountVolume, Source: volume, Writable: true}},
		WorkingDir: "/home/ann/shop", ConfigHash: "somebody's"})
}

// A service that has its data written by another from now on, and only reads it.
func TestAWriterThatBecomesAReaderStopsBeforeTheNewWriterStarts(t *testing.T) {
	const before = "services:\n  app: {image: \"shop:1.0\", restart: always, volumes: [\"data:/data\"]}\nvolumes: {data: }\n"
	const after = "services:\n  app: {image: \"shop:1.1\", restart: always, volumes: [\"data:/data:ro\"]}\n" +
		"  db: {image: \"db:1\", restart: always, volumes: [\"data:/data\"]}\nvolumes: {data: }\n"
	simulate(t, func(t *testing.T, h *host) {
		h.image("db:1", healthy())
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.push("v1.0.0", before)
		h.pass(10 * time.Minute)
		h.push("v1.1.0", after)
		h.pass(10 * time.Minute)
		h.expect("images", strings.NewReplacer("/1", "", "/2", "").Replace(h.running()), "app shop:1.1, db db:1")
		h.wrote("shop_data")
	})
}

func TestWhoReadsAnothersVolumesIsNotStoppedWhenThatStartsAgain(t *testing.T) {
	const stack = "services:\n  vpn: {image: \"vpn:1\", restart: \"on-failure:0\", volumes: [%s]}\n" +
		"  reader: {image: \"app:1\", restart: always, volumes_from: [vpn]}\nvolumes: {keys: }\n"
	for name, volume := range map[string]string{"without a name": "/keys", "with a name": "keys:/keys"} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("vpn:1", healthy())
				h.image("app:1", healthy())
				h.push("v1.0.0", strings.Replace(fmt.Sprintf(stack, volume), "on-failure:0", "no", 1))
				h.pass(10 * time.Minute)
				h.engine.Kill(h.byService("vpn").ID)
				before := h.byService("reader").Started
				h.pass(10 * time.Minute)
				h.expect("running", h.running(), "reader/1 app:1, vpn/1 vpn:1")
				if got := h.byService("reader").Started; !got.Equal(before) {
					t.Errorf("the reader was started again:\n%s", h.story())
				}
			})
		})
	}
}
