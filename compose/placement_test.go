package compose

import (
	"path"
	"slices"
	"strings"
	"testing"
)

func TestWherePathsAreMountedFrom(t *testing.T) {
	const immutable = "/data/files/*/"
	for name, c := range map[string]struct {
		mounts   string
		want     []string // sources, "*" for a digest
		writable []string // places of content that is updated
	}{
		"a tracked file, read only":              {"'./conf/a:/a:ro'", []string{immutable + "a"}, nil},
		"a tracked directory, read only":         {"'./conf:/a:ro'", []string{immutable + "conf"}, nil},
		"the whole stack, read only":             {"'.:/a:ro'", []string{immutable + "app"}, nil},
		"a tracked file of the repository":       {"'../shared/x:/a:ro'", []string{immutable + "x"}, nil},
		"a tracked file, writable":               {"'./conf/a:/a'", []string{"/data/stacks/app/conf/a"}, []string{"/data/stacks/app/conf/a"}},
		"what Git does not track":                {"'./data:/a', './cache:/b:ro'", []string{"/data/stacks/app/data", "/data/stacks/app/cache"}, nil},
		"an absolute path":                       {"'/etc/ssl:/a:ro', '/srv:/b'", []string{"/etc/ssl", "/srv"}, nil},
		"one path, read and written":             {"'./conf:/a:ro', './conf:/b'", []string{"/data/stacks/app/conf", "/data/stacks/app/conf"}, []string{"/data/stacks/app/conf"}},
		"what lies in a written directory":       {"'./conf/a:/a:ro', './conf:/b'", []string{"/data/stacks/app/conf/a", "/data/stacks/app/conf"}, []string{"/data/stacks/app/conf", "/data/stacks/app/conf/a"}},
		"what a written file lies in":            {"'./conf:/a:ro', './conf/new:/b'", []string{"/data/stacks/app/conf", "/data/stacks/app/conf/new"}, []string{"/data/stacks/app/conf"}},
		"what only begins like a written path":   {"'./conf/a:/a:ro', './conf/ab:/b'", []string{immutable + "a", "/data/stacks/app/conf/ab"}, nil},
		"a path through the stack's own parents": {"'../app/conf/a:/a:ro'", []string{immutable + "a"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := load(t, map[string]string{
				"app/compose.yaml": "services: {a: {image: a, volumes: [" + c.mounts + "]}}",
				"app/conf/a":       "a", "shared/x": "x",
			})
			var got []string
			for _, v := range p.Services[0].Config.Volumes {
				got = append(got, withoutDigest(v.Source))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			var writable []string
			for _, content := range p.Content {
				if content.Writable {
					writable = append(writable, content.To)
				} else if !strings.Contains(content.To, content.Digest) {
					t.Errorf("%s does not name its content", content.To)
				}
			}
			if !slices.Equal(writable, c.writable) {
				t.Errorf("writable %v, want %v", writable, c.writable)
			}
		})
	}
}

// withoutDigest is a path with the digest in it as a star.
func withoutDigest(source string) string {
	if rest, ok := strings.CutPrefix(source, "/data/files/"); ok {
		return "/data/files/*/" + path.Base(rest)
	}
	return source
}

func TestAPathThatAnotherServiceWritesIsWritten(t *testing.T) {
	p := load(t, map[string]string{
		"compose.yaml": "services: {a: {image: a, volumes: ['./d:/d:ro'], configs: [c]}, b: {image: b, volumes: ['./d/sub:/s']}, off: {image: c, profiles: [off], volumes: ['./e:/e']}, e: {image: e, volumes: ['./e:/e:ro']}}\nconfigs: {c: {file: ./d/sub/conf}}",
		"d/sub/conf":   "x", "e/x": "x",
	})
	a, _ := p.Service("a")
	if got := a.Config.Volumes[0].Source; got != "/data/stacks/repository/d" {
		t.Errorf("a mounts %s", got)
	}
	if got := p.Model.Configs["c"].File; got != "/data/stacks/repository/d/sub/conf" {
		t.Errorf("the config is %s", got)
	}
	if e, _ := p.Service("e"); !strings.HasPrefix(e.Config.Volumes[0].Source, "/data/files/") {
		t.Errorf("e mounts %s because of a service that is not enabled", e.Config.Volumes[0].Source)
	}
}

func TestDataOutsideOfTheStackIsRefused(t *testing.T) {
	for name, mount := range map[string]string{"untracked": "../other/data:/d", "written": "../shared:/d"} {
		root := write(t, map[string]string{
			"app/compose.yaml": "services: {a: {image: a, volumes: ['" + mount + "']}}", "shared/x": "x",
		})
		_, err := Load(t.Context(), find(t, root), options(root))
		if err == nil || !strings.Contains(err.Error(), "services.a.volumes[0]: ") || !strings.Contains(err.Error(), "outside of the stack's directory app") ||
			!strings.Contains(err.Error(), "/data/stacks/app") || !strings.Contains(err.Error(), "absolute path") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnEditedFileChangesItsPathAndOnlyItsServices(t *testing.T) {
	file := "services: {a: {image: a, volumes: ['./x:/x:ro']}, b: {image: b, volumes: ['./y:/y:ro']}}"
	before := load(t, map[string]string{"compose.yaml": file, "x": "1", "y": "1"})
	after := load(t, map[string]string{"compose.yaml": file, "x": "2", "y": "1"})
	if before.Services[0].Config.Volumes[0].Source == after.Services[0].Config.Volumes[0].Source || hashOf(before, "a") == hashOf(after, "a") {
		t.Error("a is not rolled")
	}
	if before.Services[1].Config.Volumes[0].Source != after.Services[1].Config.Volumes[0].Source || hashOf(before, "b") != hashOf(after, "b") {
		t.Error("b is rolled")
	}
}
