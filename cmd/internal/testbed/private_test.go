package testbed

import "testing"

func TestPrivateEngineIsKilledAndComesBack(t *testing.T) {
	p := NewPrivateEngine(t)
	b := NewWith(t, Config{Engine: p.Host, Davit: "/bin/false"})
	s := b.Stack("private")
	image := b.Load("web:1", App{Version: "1"})
	one := run(t, b, s, "web", image.Ref)
	ready := func() bool {
		c, err := b.Engine.Container(t.Context(), one.ID)
		return err == nil && c.Ready()
	}
	eventually(t, "the container", ready)
	eventually(t, "the observer", func() bool { return s.Mark().MinReady("web") == 1 })

	p.Kill()
	if err := p.Ping(t.Context()); err == nil {
		t.Fatal("a killed engine answers")
	}
	p.Start()
	// Its log pipe died with the daemon, and nothing says that it shall restart.
	eventually(t, "the observer to see it again or gone", func() bool {
		running := len(s.Running("web"))
		return s.Mark().MaxRunning("web") == running
	})
	if err := b.Engine.Start(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container again", ready)
	eventually(t, "the observer again", func() bool { return s.Mark().MinReady("web") == 1 })
}
