package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"davit/cmd/internal/testbed"
)

//go:embed compose.yaml.tmpl
var composeFile string

const (
	// replicas is how many containers of web the compose file asks for.
	replicas = 2
	// clients are how many ask at its published port, over a connection each.
	clients = 64
)

// web is an app that dies at once when it is told to end: whoever is to lose no
// request has to be done with it before.
func web(version string) testbed.App {
	return testbed.App{Version: version, Env: map[string]string{"STOP": "exit"}}
}

// story is what the acts share.
type story struct {
	*narrator
	bed   *testbed.Bed
	shop  *testbed.Stack
	repo  *testbed.Repo
	agent *testbed.Agent
	crowd *testbed.Crowd
	port  int
	db    testbed.Image
	// first is the container of db, which no act may touch.
	first testbed.Container
	// original is web 1.1.0 before its tag moved, good the release that proved it.
	original testbed.Image
	good     testbed.Release
}

func (s *story) tell(davit string) {
	fmt.Fprintln(s.out, "davit: from Git to healthy containers, and back.")
	s.bed = testbed.NewWith(s, testbed.Config{Davit: davit})
	s.shop, s.repo = s.bed.Stack("shop"), s.bed.Repo("shop")
	s.say("a Git server at %s", s.repo.URL)
	s.say("a registry at %s, images built from scratch", s.bed.Registry.Addr)

	s.firstRelease()
	s.replacement()
	s.movedTag()
	s.badRelease()
	s.missingImage()
	s.revert()
	s.drill()
	s.ending()
}

// push declares web at an image and releases it under a tag.
func (s *story) push(tag, image string) {
	var file strings.Builder
	err := template.Must(template.New("compose").Parse(composeFile)).Execute(&file,
		struct {
			Stack, Web, DB string
			Port           int
		}{s.shop.Name, image, s.db.Ref, s.port})
	if err != nil {
		s.Fatalf("write the compose file: %v", err)
	}
	s.repo.Release(tag, map[string]string{"compose.yaml": file.String()})
}

func (s *story) firstRelease() {
	s.act("v1.0.0 is pushed, and `davit run --repo URL` is started.")
	s.port = s.bed.UnusedPort()
	s.db = s.bed.Push("db:1", testbed.App{Version: "db", Volume: "/data"})
	one := s.bed.Push("web:1.0.0", web("1.0.0"))
	s.push("v1.0.0", one.Ref)
	s.agent = s.bed.Agent(testbed.Run{Repo: s.repo.URL, Args: []string{"--branch", "main", "--edge", "on"}})
	release := s.agent.WaitOutcome(s.shop.Name, "v1.0.0", "succeeded")
	s.agent.WaitSynced(s.shop.Name, "v1.0.0")
	s.claimServes("1.0.0", one)
	s.claim(release.Kind == "deploy" && release.Commit == s.repo.Head(),
		"the history names the deploy and its commit", release)
	s.first = s.shop.Only("db")
	s.crowd = s.bed.Crowd(fmt.Sprintf("http://127.0.0.1:%d/", s.port), clients)
	s.awaitAnswers("1.0.0")
	s.say("from now on %d clients keep a connection each to port %d of the host busy", clients, s.port)
}

func (s *story) replacement() {
	s.act("v1.1.0 is pushed. It needs two seconds until it is healthy.")
	slow := web("1.1.0")
	slow.HealthyAfter = 2 * time.Second
	s.original = s.bed.Push("web:1.1.0", slow)
	watch := s.shop.Mark()
	s.push("v1.1.0", s.original.Ref)
	s.good = s.agent.WaitOutcome(s.shop.Name, "v1.1.0", "succeeded")
	s.agent.WaitSynced(s.shop.Name, "v1.1.0")
	s.claimServes("1.1.0", s.original)
	s.claimNeverBelow(watch)
	s.claim(watch.MaxRunning("web") > replicas, "each new one was healthy before its predecessor was stopped", watch.Timeline())
	s.claim(s.original.Is(s.good.Service("web").ImageID), "the history records the exact image", s.good.Services)
	s.awaitAnswers("1.1.0")
}

func (s *story) movedTag() {
	s.act("Somebody moves the image tag web:1.1.0 to other content.")
	watch := s.shop.Mark()
	moved := s.bed.Push("web:1.1.0", web("1.1.0 but something else"))
	s.claim(moved.Ref == s.original.Ref && moved.Digest != s.original.Digest, "the tag means another image now", moved)
	s.awaitPolls()
	s.claim(watch.Starts("web") == 0, "nothing declared has changed, so nothing happens", watch.Timeline())
}

func (s *story) badRelease() {
	s.act("v1.2.0 is pushed. Its health check never passes.")
	bad := s.bed.Push("web:1.2.0", testbed.App{Version: "1.2.0", Env: map[string]string{"HEALTH": "never"}})
	before := ids(s.shop.Running("web"))
	watch := s.shop.Mark()
	s.push("v1.2.0", bad.Ref)
	release := s.agent.WaitOutcome(s.shop.Name, "v1.2.0", "failed")
	s.agent.WaitSync(s.shop.Name, "held")
	s.claim(release.Kind == "deploy", "the release is recorded as failed", release)
	s.say("%s", release.Reason)
	s.claim(slices.Equal(ids(s.shop.Running("web")), before), "the very same containers of v1.1.0 still serve", s.shop.Running("web"))
	s.claimNeverBelow(watch)
	after := s.shop.Mark()
	s.awaitPolls()
	s.claim(after.Starts("web") == 0, "the commit is held: it is not tried again", after.Timeline())
}

func (s *story) missingImage() {
	s.act("v1.3.0 is pushed. Its image is not: the build is still running.")
	watch := s.shop.Mark()
	s.push("v1.3.0", s.bed.Ref("web:1.3.0"))
	status := s.agent.WaitSync(s.shop.Name, "waiting")
	s.claim(strings.Contains(status.WaitingFor, "web:1.3.0"), "davit waits and says for what", status.WaitingFor)
	s.say("waiting for: %s", status.WaitingFor)
	s.claim(watch.Starts("web") == 0, "nothing was touched meanwhile", watch.Timeline())
	s.say("the image is pushed")
	three := s.bed.Push("web:1.3.0", web("1.3.0"))
	s.agent.WaitOutcome(s.shop.Name, "v1.3.0", "succeeded")
	s.agent.WaitSynced(s.shop.Name, "v1.3.0")
	s.claimServes("1.3.0", three)
	s.claimNeverBelow(watch)
	s.awaitAnswers("1.3.0")
}

func (s *story) revert() {
	s.act("`git revert` takes the last two commits back. The registry is down.")
	s.bed.Registry.Stop()
	watch := s.shop.Mark()
	commit := s.repo.Revert(2)
	s.repo.Push()
	release := s.agent.WaitRelease(s.shop.Name, "a rollback to have succeeded", func(r testbed.Release) bool {
		return r.Commit == commit && r.Outcome == "succeeded"
	})
	s.agent.WaitStatus(s.shop.Name, "the stack to be synced", func(t testbed.Status) bool {
		return t.Sync == "synced" && t.Health == "healthy"
	})
	s.claim(release.Kind == "rollback" && release.Restores == s.good.Seq,
		fmt.Sprintf("it is recorded as a rollback that restores #%d", s.good.Seq), release)
	s.claimServes("1.1.0", s.original)
	s.claim(s.original.Is(release.Service("web").ImageID), "it is the original image of v1.1.0, although its tag has moved", release.Services)
	s.claimNeverBelow(watch)
}

func (s *story) drill() {
	s.act("`davit drill %s` rehearses a rollback. The registry is still down.", s.shop.Name)
	before := s.crowd.Tally()
	seen := len(s.agent.History(s.shop.Name))
	watch := s.shop.Mark()
	answer := s.agent.CLI("drill", s.shop.Name)
	s.claim(answer.Code == 0, "it ends well", answer.Stdout+answer.Stderr)
	history := s.agent.History(s.shop.Name)
	history = history[:len(history)-seen]
	ok := len(history) == 2
	for _, r := range history {
		ok = ok && r.Kind == "drill" && r.Outcome == "succeeded"
	}
	s.claim(ok && history[1].Version == "v1.3.0", "the history has two releases of the kind drill: to v1.3.0 and back", history)
	if !ok {
		return
	}
	took := history[1].RecoverySeconds
	s.claim(took > 0, fmt.Sprintf("the recovery time is recorded: v1.3.0 served %.2f s after the order", took), history[1])
	status := s.agent.WaitSynced(s.shop.Name, s.good.Version)
	s.claim(status.Recovery.Drills == 1 && status.Recovery.MeanSeconds > 0,
		fmt.Sprintf("`davit status -o json` has the mean time to recovery, %.2f s, with one drill in it", status.Recovery.MeanSeconds), status.Recovery)
	after := s.crowd.Tally()
	s.claim(after.Failed == before.Failed && after.Versions["1.3.0"] > before.Versions["1.3.0"],
		fmt.Sprintf("v1.3.0 answered %d of %d requests meanwhile, and none failed", after.Versions["1.3.0"]-before.Versions["1.3.0"], after.Total-before.Total), after)
	s.claimServes("1.1.0", s.original)
	s.claimNeverBelow(watch)
}

func (s *story) ending() {
	s.act("The week is over.")
	db := s.shop.Only("db")
	s.claim(db.ID == s.first.ID && db.Started.Equal(s.first.Started),
		"db, which no commit changed, was never touched", db)
	tally := s.crowd.Stop()
	s.claim(tally.Failed == 0, fmt.Sprintf("%d failed of %d requests, though web dies at once when it is stopped", tally.Failed, tally.Total), tally.Errors)
	expected := []string{"1.0.0", "1.1.0", "1.3.0"}
	strangers := 0
	for version := range tally.Versions {
		if !slices.Contains(expected, version) {
			strangers++
		}
	}
	s.claim(strangers == 0, "no answer came from a bad or a foreign version", tally.Versions)

	fmt.Fprintf(s.out, "\n     %-12s %8s\n", "answered by", "requests")
	for _, version := range expected {
		fmt.Fprintf(s.out, "     %-12s %8d\n", version, tally.Versions[version])
	}
	fmt.Fprintf(s.out, "     %-12s %8d\n     %-12s %8d\n", "failed", tally.Failed, "total", tally.Total)
	fmt.Fprintf(s.out, "     slowest answer %d ms, longest time without one %d ms\n", tally.SlowestMS, tally.LongestGapMS)

	history := s.agent.CLI("history", s.shop.Name)
	s.claim(history.Code == 0, "`davit history` tells it all:", history.Stderr)
	fmt.Fprintln(s.out, "\n"+history.Stdout)
	s.say("taking everything away")
}

// claimServes: exactly the declared replicas run, all healthy, all of one image.
func (s *story) claimServes(version string, image testbed.Image) {
	running := s.shop.Examined("web")
	ok := len(running) == replicas
	for _, c := range running {
		ok = ok && c.Health == "healthy" && image.Is(c.ImageID) && s.shop.Answer(c) == version
	}
	s.claim(ok, fmt.Sprintf("%d healthy containers run exactly the image of %s and answer so", replicas, version), running)
}

func (s *story) claimNeverBelow(watch *testbed.Watch) {
	s.claim(watch.MinReady("web") >= replicas,
		fmt.Sprintf("at every moment at least %d healthy containers served", replicas), watch.Timeline())
}

// awaitAnswers waits until the clients are answered by version, and by no other.
func (s *story) awaitAnswers(version string) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		before := s.crowd.Tally()
		time.Sleep(time.Second)
		after := s.crowd.Tally()
		fresh := after.Versions[version] - before.Versions[version]
		if fresh > 0 && fresh == after.Total-before.Total {
			s.claim(true, "the clients are answered by "+version+" only", after)
			return
		}
		if time.Now().After(deadline) {
			s.claim(false, "the clients are answered by "+version+" only", fmt.Sprintf("%+v then %+v", before, after))
			return
		}
	}
}

// awaitPolls waits until davit has asked the Git server three times more.
func (s *story) awaitPolls() {
	seen := s.bed.Git.Requests()
	deadline := time.Now().Add(30 * time.Second)
	for s.bed.Git.Requests() < seen+3 {
		if time.Now().After(deadline) {
			s.Fatalf("davit does not poll any more")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// ids are the containers' identities, sorted.
func ids(containers []testbed.Container) []string {
	var all []string
	for _, c := range containers {
		all = append(all, c.ID)
	}
	slices.Sort(all)
	return all
}
