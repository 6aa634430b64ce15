package e2e

import (
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

func TestApplyOfADirectoryTouchesOnlyWhatItDeclares(t *testing.T) {
	t.Parallel()
	bed := testbed.New(t)
	a, b := bed.Repo("a"), bed.Repo("b")
	file := sourcesFile(t, map[string]string{"a": a.URL, "b": b.URL})
	c := &company{T: t, bed: bed, agent: bed.NewAgent(testbed.Run{Args: []string{"--config", file}})}
	shop, wiki, till := bed.Stack("shop"), bed.Stack("wiki"), bed.Stack("till")
	one, two := bed.Push("web:1", nimble("1")), bed.Push("web:2", nimble("2"))
	a.Release("", map[string]string{"shop/compose.yaml": single(shop.Name, one), "wiki/compose.yaml": single(wiki.Name, one)})
	b.Release("", map[string]string{"till/compose.yaml": single(till.Name, one)})
	c.agent.Start()
	for _, s := range []*testbed.Stack{shop, wiki, till} {
		c.runs(s, one)
	}
	c.agent.Stop()
	lost := func(s *testbed.Stack) {
		t.Helper()
		if err := bed.Engine.RemoveContainer(t.Context(), s.Only("web").ID); err != nil {
			t.Fatal(err)
		}
	}
	lost(till)
	lost(wiki)
	apply := func(code int, words string, args ...string) {
		t.Helper()
		answer := c.agent.CLI(append([]string{"apply", "--config", file, "--source", "a", "--dir", a.Dir}, args...)...)
		if answer.Code != code || !strings.Contains(answer.Stdout+answer.Stderr, words) {
			t.Errorf("apply %v = %d, want %d and %q\n%s%s", args, answer.Code, code, words, answer.Stdout, answer.Stderr)
		}
	}
	missing := func(want ...*testbed.Stack) {
		t.Helper()
		for _, s := range []*testbed.Stack{shop, wiki, till} {
			gone := false
			for _, w := range want {
				gone = gone || w == s
			}
			if n := len(s.Running("web")); (n == 0) != gone {
				t.Errorf("%s has %d containers", s.Name, n)
			}
		}
	}

	t.Log("one stack, and the directory says that another is to be removed")
	a.Remove("wiki")
	a.Write(map[string]string{"shop/compose.yaml": single(shop.Name, two, "depends_on: ["+till.Name+"]"), "davit.yaml": "removed: [" + wiki.Name + "]\n"})
	apply(1, till.Name, shop.Name) // the other source's stack, which it waits for, is down
	missing(wiki, till)
	if n := len(wiki.Containers()); n != 0 {
		t.Errorf("%d containers of %s", n, wiki.Name)
	}

	t.Log("the whole directory")
	a.Write(map[string]string{"shop/compose.yaml": single(shop.Name, two), "wiki/compose.yaml": single(wiki.Name, two), "davit.yaml": "{}\n"})
	plan := c.agent.CLI("plan", "--config", file, "--source", "a", "--dir", a.Dir)
	if plan.Code != 2 || strings.Contains(plan.Stdout, till.Name) || !strings.Contains(plan.Stdout, wiki.Name) {
		t.Errorf("plan --dir = %d\n%s%s", plan.Code, plan.Stdout, plan.Stderr)
	}
	apply(0, "")
	missing(till)
	if now := shop.Only("web"); !two.Is(now.ImageID) {
		t.Errorf("%s runs %s", shop.Name, now.ImageID)
	}

	t.Log("a name of the other source")
	a.Write(map[string]string{"till/compose.yaml": single(till.Name, two)})
	apply(1, "had it first")
	missing(till)
	// Without the configuration nobody knows the other repository, but still whose it is.
	answer := c.agent.CLI("apply", "--source", "a", "--dir", a.Dir, till.Name)
	if answer.Code != 1 || !strings.Contains(answer.Stderr, "had it first") {
		t.Errorf("apply = %d\n%s%s", answer.Code, answer.Stdout, answer.Stderr)
	}
	missing(till)
}
