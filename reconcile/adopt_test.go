package reconcile_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/compose"
	"davit/reconcile"
)

// composeUp makes what Compose makes of the project in /srv/shop, one container
// for each replica.
func (h *host) composeUp(yaml string) {
	h.t.Helper()
	h.composeIn(loadProject(h.t, yaml), "/srv/shop")
}

// composeIn makes what Compose makes of the project in dir.
func (h *host) composeIn(declared *compose.Project, dir string) {
	h.t.Helper()
	p, err := declared.Relocated(compose.Origin{WorkingDir: dir, ConfigFiles: dir + "/compose.yaml"})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx := h.t.Context()
	check := func(err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	// A davit that sees what is made must not take it for its own.
	h.engine.InTheNameOf("", func() {
		for key := range p.Model.Networks {
			check(h.engine.CreateNetwork(ctx, p, key))
		}
		for key := range p.Model.Volumes {
			check(h.engine.CreateVolume(ctx, p, key))
		}
		for _, s := range p.Services {
			image, err := h.engine.LocalImage(ctx, s.Config.Image)
			check(err)
			image.Ref = s.Config.Image
			for n := 1; n <= s.Replicas; n++ {
				name := fmt.Sprintf("shop-%s-%d", s.Name, n)
				id, err := h.engine.Create(ctx, reconcile.CreateRequest{Project: p, Service: s, Image: image, Number: n,
					Create: reconcile.Create{Name: name, Final: name, Alias: true, Ports: true}, Restart: s.Config.Restart})
				check(err)
				check(h.engine.Start(ctx, id))
			}
		}
	})
	h.engine.Relabel("")
	h.engine.MountFrom("/data/files/", dir)
	h.engine.ClearLog()
}

// containers are the shop's containers by name, with how often they were started
// as far as that can be seen.
func (h *host) containers() string {
	h.settle()
	var out []string
	for _, c := range h.observe().Containers {
		out = append(out, fmt.Sprintf("%s %s %s", c.Name, c.State, c.Started.Format(time.TimeOnly)))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// acts are the mutations of containers and networks; tags of images do not count.
func (h *host) acts() string {
	h.settle()
	var out []string
	for _, op := range h.engine.Log() {
		if text := fmt.Sprint(op); !strings.Contains(text, "tag") {
			out = append(out, text)
		}
	}
	return strings.Join(out, "\n")
}

const running = `
services:
  web:
    image: shop:1.0
    restart: unless-stopped
    deploy: {replicas: 2}
    x-davit: {standby: {for: 0s}}
  db:
    image: db:1
    restart: unless-stopped
    volumes: ["./data:/data"]
    x-davit: {standby: {for: 0s}}
`

func TestWhatComposeRunsAsDeclaredIsAdoptedWithoutARestart(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.image("db:1", healthy())
		h.composeUp(running)
		before := h.containers()
		h.pass(time.Minute)
		h.push("v1.0.0", running)
		h.pass(time.Minute)
		h.expect("containers", h.containers(), before)
		h.expect("mutations", h.acts(), "")
		h.expect("history", h.history(), "#1 adopt v1.0.0 succeeded")
		h.expect("status", string(h.status().Sync)+" "+string(h.status().Health), "synced healthy")
		h.expect("tags", fmt.Sprint(h.emitted(reconcile.EventAdopted)), "1")

		h.stop()
		h.boot()
		h.pass(2 * time.Hour)
		h.expect("containers after a restart of the agent", h.containers(), before)
		h.expect("mutations after a restart", h.acts(), "")

		h.push("v1.1.0", strings.Replace(running, "shop:1.0", "shop:1.1", 1))
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "db/1 db:1, web/3 shop:1.1, web/4 shop:1.1")
		if got := h.containers(); !strings.Contains(got, "shop-db-1 running") || strings.Contains(got, "shop-web-1") {
			t.Errorf("containers:\n%s", got)
		}
		for _, c := range h.observe().Containers {
			if c.Service == "web" && (c.WorkingDir != "/srv/shop" || c.ConfigHash == "") {
				t.Errorf("Compose would not know %s: %+v", c.Name, c)
			}
		}
	})
}

func TestTheDataOfAnAdoptedStackStaysWhereItIs(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("db:1", healthy())
		h.image("db:2", healthy())
		h.composeUp(running)
		h.push("v1.0.0", running)
		h.pass(time.Minute)
		h.push("v1.1.0", strings.Replace(running, "db:1", "db:2", 1))
		h.pass(10 * time.Minute)
		h.expect("running", h.running(), "db/2 db:2, web/1 shop:1.0, web/2 shop:1.0")
		for _, c := range h.observe().Containers {
			if c.Service == "db" && c.Mounts[0].Source != "/srv/shop/data" {
				t.Errorf("the data is at %s", c.Mounts[0].Source)
			}
		}
		before := h.containers()
		h.stop()
		h.loseRecord()
		h.engine.ClearLog()
		h.boot()
		h.pass(2 * time.Hour)
		h.expect("containers after the record was lost", h.containers(), before)
		h.expect("mutations after the record was lost", h.acts(), "")
		h.expect("status", string(h.status().Sync), "synced")
		h.push("v1.0.0", running)
		h.pass(10 * time.Minute)
		for _, c := range h.observe().Containers {
			if c.Service == "db" && c.Mounts[0].Source != "/srv/shop/data" {
				t.Errorf("the data moved to %s", c.Mounts[0].Source)
			}
		}
	})
}

// loseRecord empties the record but for what labels tell of davit's own containers.
func (h *host) loseRecord() {
	r := reconcile.Release{Stack: "shop", Kind: reconcile.KindAdopt, Trigger: reconcile.TriggerStartup, Outcome: reconcile.Succeeded}
	for _, c := range h.observe().Containers {
		if c.Instance == "here" {
			r.Seq = max(r.Seq, c.Release)
			r.Services = append(r.Services, reconcile.ServiceRecord{Name: c.Service, Spec: c.Spec,
				Image: reconcile.Image{Ref: c.ImageRef, ID: c.ImageID}, Containers: []string{c.ID}})
		}
	}
	h.record.mu.Lock()
	defer h.record.mu.Unlock()
	h.record.releases = []reconcile.Release{r}
}

func TestWhatDiffersIsLeftAloneUntilSomebodyAgrees(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("shop:1.1", healthy())
		h.image("db:1", healthy())
		h.composeUp(running)
		before := h.containers()
		h.push("v1.1.0", strings.Replace(running, "shop:1.0", "shop:1.1", 1))
		h.pass(2 * time.Hour)
		h.expect("mutations", h.acts(), "")
		s := h.status()
		if s.Sync != reconcile.SyncUnadopted || !strings.Contains(s.WaitingFor, "web: image shop:1.0 -> shop:1.1") || strings.Contains(s.WaitingFor, "db:") {
			t.Errorf("status %s: %s", s.Sync, s.WaitingFor)
		}
		if err := h.loop.Adopt(t.Context(), reconcile.AdoptRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		if after := h.containers(); !strings.HasPrefix(after, before) {
			t.Errorf("right after it these are there\n%s\nand before\n%s", after, before)
		}
		h.pass(10 * time.Minute)
		h.expect("history", h.history(), "#1 adopt  succeeded\n#2 deploy v1.1.0 succeeded")
		h.expect("running", h.running(), "db/1 db:1, web/3 shop:1.1, web/4 shop:1.1")
		if !strings.Contains(before, strings.Split(h.containers(), "\n")[0]) {
			t.Errorf("the database was touched:\n%s\n%s", before, h.containers())
		}
	})
}

func TestAnAdoptionThatTurnsOutBadGoesBackToWhatRan(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("db:1", healthy())
		h.image("db:bad", sick())
		h.composeUp(running)
		h.push("v1.1.0", strings.Replace(running, "db:1", "db:bad", 1))
		h.pass(time.Minute)
		if err := h.loop.Adopt(t.Context(), reconcile.AdoptRequest{Stack: "shop", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		h.pass(time.Hour)
		h.expect("running", h.running(), "db/1 db:1, web/1 shop:1.0, web/2 shop:1.0")
		h.expect("history", h.history(), "#1 adopt  succeeded\n#2 deploy v1.1.0 failed\n#3 auto-rollback  succeeded restores #1")
	})
}

func TestEveryWayToAdoptDoesWhatItSays(t *testing.T) {
	for _, c := range []struct {
		mode            reconcile.AdoptMode
		declared, story string
	}{
		{reconcile.AdoptIdentical, "shop:1.0", "#1 adopt v1.0.0 succeeded"},
		{reconcile.AdoptIdentical, "shop:1.1", ""},
		{reconcile.AdoptAll, "shop:1.0", "#1 adopt v1.0.0 succeeded"},
		{reconcile.AdoptAll, "shop:1.1", "#1 adopt  succeeded\n#2 deploy v1.0.0 succeeded"},
		{reconcile.AdoptNone, "shop:1.0", ""},
		{reconcile.AdoptNone, "shop:1.1", ""},
	} {
		t.Run(fmt.Sprintf("%s of %s", c.mode, c.declared), func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.stop()
				h.adopt = c.mode
				h.boot()
				h.image("shop:1.0", healthy())
				h.image("shop:1.1", healthy())
				h.image("db:1", healthy())
				h.composeUp(running)
				h.push("v1.0.0", strings.Replace(running, "shop:1.0", c.declared, 1))
				h.pass(10 * time.Minute)
				h.expect("history", h.history(), c.story)
				if c.story == "" {
					h.expect("mutations", h.acts(), "")
				}
			})
		})
	}
}

func TestWhatAdoptionFindsDifferent(t *testing.T) {
	for name, c := range map[string]struct {
		declared string
		hand     func(h *host, by map[string]reconcile.Container)
		want     string
	}{
		"another image":          {strings.Replace(running, "db:1", "db:2", 1), nil, "db: image db:1 -> db:2"},
		"another mount":          {strings.Replace(running, "./data:", "./other:", 1), nil, "db: mount /data: /srv/shop/data -> /srv/shop/other"},
		"another variable":       {strings.Replace(running, "image: db:1", "image: db:1\n    environment: {A: b}", 1), nil, "db: configuration differs"},
		"another service":        {running + "  new: {image: \"db:1\"}\n", nil, "new: does not run; it would be created"},
		"a service less":         {strings.Split(running, "  db:")[0], nil, "db: is not declared; shop-db-1 would be stopped"},
		"more replicas declared": {strings.Replace(running, "replicas: 2", "replicas: 3", 1), nil, "web: 2 replicas run: 3 declared"},
		"a stopped replica": {running, func(h *host, by map[string]reconcile.Container) { h.engine.StopByHand(by["shop-web-2"].ID) },
			"web: 1 replica runs: 2 declared; web: shop-web-2 is exited"},
		"another policy": {running, func(h *host, by map[string]reconcile.Container) {
			if err := h.engine.SetRestart(h.t.Context(), by["shop-db-1"].ID, "no"); err != nil {
				h.t.Fatal(err)
			}
		}, "db: restart policy no -> unless-stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				h.image("db:1", healthy())
				h.image("db:2", healthy())
				h.composeUp(running)
				by := map[string]reconcile.Container{}
				for _, c := range h.observe().Containers {
					by[c.Name] = c
				}
				if c.hand != nil {
					c.hand(h, by)
				}
				h.engine.ClearLog()
				h.push("v1.0.0", c.declared)
				h.pass(10 * time.Minute)
				if s := h.status(); s.Sync != reconcile.SyncUnadopted || !strings.Contains(s.WaitingFor, c.want) {
					t.Errorf("status %s: %s", s.Sync, s.WaitingFor)
				}
				h.expect("mutations", h.acts(), "")
			})
		})
	}
}

func TestAnotherDavitsStackNeedsAWordOfItsOwn(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.image("shop:1.0", healthy())
		h.image("db:1", healthy())
		h.composeUp(running)
		h.engine.Relabel("there")
		h.push("v1.0.0", running)
		h.pass(time.Minute)
		err := h.loop.Adopt(t.Context(), reconcile.AdoptRequest{Stack: "shop", Actor: "ann"})
		if err == nil || !strings.Contains(reconcile.Hint(err), "--take-over") {
			t.Fatalf("adopted without the word: %v", err)
		}
		if err := h.loop.Adopt(t.Context(), reconcile.AdoptRequest{Stack: "shop", Actor: "ann", TakeOver: true}); err != nil {
			t.Fatal(err)
		}
		h.pass(10 * time.Minute)
		h.expect("mutations", h.acts(), "")
		h.expect("status", string(h.status().Sync), "synced")
	})
}

func TestADavitThatOnlyObservesNeverActs(t *testing.T) {
	simulate(t, func(t *testing.T, h *host) {
		h.stop()
		h.observeOnly = true
		h.boot()
		h.image("shop:1.0", healthy())
		h.image("db:1", healthy())
		h.push("v1.0.0", running)
		h.pass(time.Hour)
		h.expect("history", h.history(), "")
		if log := h.engine.Log(); len(log) > 0 {
			t.Errorf("it acted: %v", log)
		}
		if s := h.status(); s.Sync != reconcile.SyncOutOfSync || !strings.Contains(s.WaitingFor, "mode is observe") {
			t.Errorf("status %s: %s", s.Sync, s.WaitingFor)
		}
	})
}

func TestAFileThatIsNotWhatGitHasIsADifference(t *testing.T) {
	for name, c := range map[string]struct{ there, want string }{
		"the same":   {"key: one\n", "synced"},
		"another":    {"key: two\n", "unadopted"},
		"not to see": {"", "synced"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, h *host) {
				h.image("shop:1.0", healthy())
				root, there := filepath.Join(t.TempDir(), "shop"), t.TempDir()
				file := "services:\n  web:\n    image: shop:1.0\n    restart: always\n    volumes: [\"./app.conf:/app.conf:ro\"]\n"
				for path, text := range map[string]string{root + "/compose.yaml": file, root + "/app.conf": "key: one\n", there + "/app.conf": c.there} {
					if text == "" {
						continue
					}
					if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				p := loadFrom(t, root)
				h.composeIn(p, there)
				h.revision = reconcile.Revision{Ref: "main", Commit: "1", Version: "v1.0.0"}
				h.declared["shop"] = p
				h.declare()
				h.pass(time.Minute)
				h.expect("status", string(h.status().Sync), c.want)
				h.expect("mutations", h.acts(), "")
			})
		})
	}
}

// Whatever is declared beside a project that runs and whatever happens to that, davit
// touches nothing of it before somebody agrees.
func TestNothingOfAnUnadoptedProjectIsEverTouched(t *testing.T) {
	for seed := range uint64(20) {
		simulate(t, func(t *testing.T, h *host) {
			dice := rand.New(rand.NewPCG(seed, 1))
			for _, ref := range []string{"shop:1.0", "shop:1.1", "db:1", "db:2"} {
				h.image(ref, healthy())
			}
			h.composeUp(running)
			declared := []string{
				strings.Replace(running, "shop:1.0", "shop:1.1", 1), strings.Replace(running, "db:1", "db:2", 1),
				strings.Split(running, "  db:")[0], strings.Replace(running, "./data", "./other", 1), "",
			}
			var story []string
			for range 12 {
				before := len(h.engine.Log())
				all := h.observe().Containers
				act := dice.IntN(7)
				story = append(story, fmt.Sprint(act))
				switch {
				case act == 0 && len(all) > 0:
					h.engine.StopByHand(all[dice.IntN(len(all))].ID)
				case act == 1 && len(all) > 0:
					h.engine.StartByHand(all[dice.IntN(len(all))].ID)
				case act == 2 && len(all) > 1:
					h.engine.RemoveByHand(all[dice.IntN(len(all))].ID)
				case act == 3:
					h.engine.RestartDaemon()
				case act == 4:
					h.stop()
					h.boot()
				default:
					h.push(fmt.Sprintf("v1.%d.0", h.pushes), declared[dice.IntN(len(declared))])
				}
				h.pass(time.Duration(dice.IntN(90)) * time.Minute)
				if log := h.engine.Log(); len(log) > before {
					t.Fatalf("seed %d, after %v: %v", seed, story, log[before:])
				}
			}
		})
	}
}
