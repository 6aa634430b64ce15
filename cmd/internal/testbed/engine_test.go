package testbed

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// run starts a container that looks like a replica of a stack's service.
func run(t *testing.T, b *Bed, s *Stack, service, image string) Container {
	t.Helper()
	name := s.Name + "-" + service + "-" + strings.ToLower(time.Now().Format("150405.000000"))
	var created struct{ ID string }
	err := b.Engine.send(t.Context(), "/containers/create", url.Values{"name": {name}}, map[string]any{
		"Image":  image,
		"Labels": map[string]string{projectLabel: s.Name, serviceLabel: service, numberLabel: "1"},
	}, &created)
	if err == nil {
		err = b.Engine.Start(t.Context(), created.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Engine.Container(t.Context(), created.ID)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually waits for something that the engine does in its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestBedPushesImagesThatTheEnginePulls(t *testing.T) {
	b := NewWith(t, without())
	ctx := t.Context()
	pull := func(ref string) string {
		if err := b.Engine.send(ctx, "/images/create", url.Values{"fromImage": {ref}}, nil, nil); err != nil {
			t.Fatal(err)
		}
		id, err := b.Engine.ImageID(ctx, ref)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	one := b.Push("web:1", App{Version: "1"})
	if got := pull(one.Ref); !one.Is(got) {
		t.Errorf("pulled %s, pushed %+v", got, one)
	}
	moved := b.Push("web:1", App{Version: "1, moved"})
	if one.Digest == moved.Digest {
		t.Error("other content has the same digest")
	}
	if got := pull(one.Ref); !moved.Is(got) {
		t.Errorf("pulled %s after the tag moved to %+v", got, moved)
	}
	if id, err := b.Engine.ImageID(ctx, b.Ref("web:2")); id != "" || err != nil {
		t.Errorf("an image that nobody pushed is %q, %v", id, err)
	}
}

func TestAppBehavesAsItsImageSays(t *testing.T) {
	b := NewWith(t, without())
	s := b.Stack("app")
	good := run(t, b, s, "good", b.Load("good:1", App{Version: "1"}).Ref)
	sick := run(t, b, s, "sick", b.Load("sick:1", App{Version: "1", Env: map[string]string{"HEALTH": "never"}}).Ref)
	dead := run(t, b, s, "dead", b.Load("dead:1", App{Version: "1", Env: map[string]string{"EXIT_AFTER": "10ms", "EXIT_CODE": "7"}}).Ref)
	task := run(t, b, s, "task", b.Load("task:1", App{Version: "1", Args: []string{"migrate"}}).Ref)
	look := func(id string) Container {
		c, err := b.Engine.Container(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	eventually(t, "the good one to be healthy", func() bool { return look(good.ID).Health == "healthy" })
	eventually(t, "the sick one to be unhealthy", func() bool { return look(sick.ID).Health == "unhealthy" })
	eventually(t, "the others to exit", func() bool { return !look(dead.ID).Running && !look(task.ID).Running })
	if got := look(dead.ID).ExitCode; got != 7 {
		t.Errorf("exit code = %d, want 7", got)
	}
	if got := look(task.ID).ExitCode; got != 0 {
		t.Errorf("the task's exit code = %d, want 0", got)
	}
	if logs, err := b.Engine.Logs(t.Context(), dead.ID); err != nil || !strings.Contains(logs, "exiting with code 7") {
		t.Errorf("logs = %q, %v", logs, err)
	}
}

func TestBedWatchesAReplacement(t *testing.T) {
	b := NewWith(t, without())
	s := b.Stack("watched")
	image := b.Load("db:1", App{Version: "1", Volume: "/data"})
	old := run(t, b, s, "db", image.Ref)
	ready := func(id string) func() bool {
		return func() bool {
			c, err := b.Engine.Container(t.Context(), id)
			return err == nil && c.Ready()
		}
	}
	eventually(t, "the old one", ready(old.ID))
	eventually(t, "the observer", func() bool { return s.Mark().MinReady("db") == 1 })

	whole := s.Mark()
	next := run(t, b, s, "db", image.Ref)
	eventually(t, "the new one", ready(next.ID))
	if err := b.Engine.Stop(t.Context(), old.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the observer", func() bool { return len(s.Running()) == 1 && s.Mark().MaxRunning("db") == 1 })
	whole.RequireMinReady("db", 1)
	whole.RequireOneWriter() // each has a volume of its own
	if got := whole.MaxRunning("db"); got != 2 {
		t.Errorf("MaxRunning = %d, want 2", got)
	}
	if got := s.Only("db").ID; got != next.ID {
		t.Errorf("runs %s, want %s", got, next.ID)
	}
	written, err := b.Engine.ReadFile(t.Context(), old.ID, "/data/log")
	if err != nil || !strings.HasPrefix(written, "start 1 "+old.ID[:12]+"\n") || !strings.HasSuffix(written, "stop 1 "+old.ID[:12]+"\n") {
		t.Errorf("the old one's journal = %q, %v", written, err)
	}

	gap := s.Mark()
	if err := b.Engine.Stop(t.Context(), next.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the observer", func() bool { return gap.MinReady("db") == 0 })
}

// The lock in the app's data directory is what tells two writers from one.
func TestAppRefusesToBeTheSecondWriter(t *testing.T) {
	b := NewWith(t, without())
	s := b.Stack("writers")
	image := b.Load("db:1", App{Version: "1", Volume: "/data"})
	first := run(t, b, s, "db", image.Ref)
	eventually(t, "the first to write", func() bool {
		log, err := b.Engine.ReadFile(t.Context(), first.ID, "/data/log")
		return err == nil && strings.Contains(log, "tick")
	})
	mark := s.Mark()
	var created struct{ ID string }
	err := b.Engine.send(t.Context(), "/containers/create", nil, map[string]any{
		"Image":      image.Ref,
		"Labels":     map[string]string{projectLabel: s.Name, serviceLabel: "db"},
		"HostConfig": map[string]any{"Binds": []string{slices.Collect(maps.Values(first.Volumes))[0] + ":/data"}},
	}, &created)
	if err == nil {
		err = b.Engine.Start(t.Context(), created.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second to give up", func() bool {
		c, err := b.Engine.Container(t.Context(), created.ID)
		return err == nil && c.State == "exited" && c.ExitCode == 1
	})
	log, err := b.Engine.ReadFile(t.Context(), first.ID, "/data/log")
	if err != nil || !strings.Contains(log, "conflict 1 "+created.ID[:12]) {
		t.Errorf("journal = %q, %v", log, err)
	}
	eventually(t, "the observer", func() bool { return mark.MaxWriters() == 2 })
}

func TestClientCountsWhoAnswered(t *testing.T) {
	b := NewWith(t, without())
	s := b.Stack("load")
	network := map[string]any{"Name": s.Network(), "CheckDuplicate": true, "Labels": map[string]string{projectLabel: s.Name}}
	if err := b.Engine.send(t.Context(), "/networks/create", nil, network, nil); err != nil {
		t.Fatal(err)
	}
	web := run(t, b, s, "web", b.Load("web:1", App{Version: "1.0.0"}).Ref)
	connect := map[string]any{"Container": web.ID, "EndpointConfig": map[string]any{"Aliases": []string{"web"}}}
	if err := b.Engine.send(t.Context(), "/networks/"+s.Network()+"/connect", nil, connect, nil); err != nil {
		t.Fatal(err)
	}
	web, err := b.Engine.Container(t.Context(), web.ID)
	if err != nil || s.Answer(web) != "1.0.0" {
		t.Errorf("asked directly, %s answers %q (%v)", web.Name, s.Answer(web), err)
	}
	client := s.Client("http://web:8080/", 100)
	eventually(t, "some answers", func() bool { return client.Tally().Versions["1.0.0"] > 20 })
	if err := b.Engine.RemoveContainer(t.Context(), web.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "some failures", func() bool { return client.Tally().Failed > 5 })
	total := client.Stop()
	if total.Total != total.Failed+total.Versions["1.0.0"] || len(total.Errors) == 0 {
		t.Errorf("tally does not add up: %+v", total)
	}
}

func TestBedLeavesNothingBehind(t *testing.T) {
	var name, stack, image string
	var volumes map[string]string
	engine, err := NewEngine("")
	if err != nil {
		t.Fatal(err)
	}
	problems, _ := live(t, func(tb TB) {
		b := NewWith(tb, without())
		s := b.Stack("gone")
		name, stack = b.Name, s.Name
		loaded := b.Load("db:1", App{Version: "1", Volume: "/data"})
		c := run(t, b, s, "db", loaded.Ref)
		volumes, image = c.Volumes, c.ImageID
		tag := url.Values{"repo": {"davit.local/keep/" + stack + "/db"}, "tag": {"1"}}
		if err := b.Engine.send(t.Context(), "/images/"+loaded.Ref+"/tag", tag, nil, nil); err != nil {
			t.Error(err)
		}
	})
	if problems != "" {
		t.Fatal(problems)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if left, err := engine.Containers(ctx, stack); err != nil || len(left) != 0 {
		t.Errorf("containers left: %v, %v", left, err)
	}
	if id, err := engine.ImageID(ctx, image); id != "" || err != nil {
		t.Errorf("image left: %q, %v", id, err)
	}
	if tags, err := engine.KeepTags(ctx, stack); len(tags) != 0 || err != nil {
		t.Errorf("tags left: %v, %v", tags, err)
	}
	if len(volumes) != 1 {
		t.Errorf("volumes = %v, want one", volumes)
	}
	for _, v := range volumes {
		if err := engine.get(ctx, "/volumes/"+v, nil, nil); !isGone(err) {
			t.Errorf("volume %s of bed %s is left: %v", v, name, err)
		}
	}
}
