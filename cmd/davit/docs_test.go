package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readDocs is the text of one page.
func readDocs(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")

// TestTheExamplesOfHowtoAreValid holds every example of docs/howto.md against the program:
// compose files, policies, and configurations of a host.
func TestTheExamplesOfHowtoAreValid(t *testing.T) {
	blocks := yamlBlock.FindAllStringSubmatch(readDocs(t, "docs/howto.md"), -1)
	if len(blocks) < 10 {
		t.Fatalf("only %d examples", len(blocks))
	}
	for _, b := range blocks {
		repo, other := t.TempDir(), filepath.Join(t.TempDir(), "policy.yaml")
		example, app := b[1], "services: {web: {image: \"web:1\"}}\n"
		args := []string{"validate", "--dir", repo}
		switch {
		case strings.Contains(example, "\nservices:"):
			app = example
		case strings.Contains(example, "preset:"):
			args = append(args, "--policy", other)
		default:
			example = strings.ReplaceAll(example, "/etc/davit/policy.yaml", filepath.Join(repo, "strict.yaml"))
			args = append(args, "--config", other)
		}
		for path, text := range map[string]string{
			filepath.Join(repo, "strict.yaml"): "preset: strict\n", filepath.Join(repo, "shop", "compose.yaml"): app, other: example,
			filepath.Join(repo, "shop", "db.txt.age"): "-----BEGIN AGE ENCRYPTED FILE-----\n",
		} {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, out, err := world(nil)
		if code := run(t.Context(), c, args...); code != exitOK || !strings.Contains(out.String(), "1 stacks are fine") {
			t.Errorf("exit code %d: %s%s\n%s", code, out, err, b[1])
		}
	}
}

var shownCommand = regexp.MustCompile(`(?m)^ {4}davit ([^#\n]+)`)

// TestTheCommandsOfHowtoAreUnderstood holds its commands against the program.
func TestTheCommandsOfHowtoAreUnderstood(t *testing.T) {
	commands := shownCommand.FindAllStringSubmatch(readDocs(t, "docs/howto.md"), -1)
	if len(commands) < 20 {
		t.Fatalf("only %d commands", len(commands))
	}
	for _, m := range commands {
		args := strings.Fields(m[1])
		c, out, err := world(nil)
		if code := run(t.Context(), c, append(args, "--help")...); code != exitOK || !strings.Contains(out.String(), "davit "+args[0]) {
			t.Errorf("davit %s: exit code %d\n%s%s", m[1], code, out, err)
		}
	}
}

var (
	fence   = regexp.MustCompile("(?ms)^```.*?^```")
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	noSlug  = regexp.MustCompile(`[^\w\- ]`)
)

// anchors are the names under which a page's headings can be linked to.
func anchors(text string) (names []string) {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		names = append(names, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return names
}

// TestLinksOfTheDocsLeadSomewhere follows every link between pages and to headings.
func TestLinksOfTheDocsLeadSomewhere(t *testing.T) {
	pages := []string{"README.md", "ARCHITECTURE.md", "CHANGELOG.md"}
	for _, pattern := range []string{"docs/*.md", "docs/adr/*.md"} {
		found, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%v, %v", found, err)
		}
		for _, path := range found {
			pages = append(pages, strings.TrimPrefix(filepath.ToSlash(path), "../../"))
		}
	}
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(readDocs(t, page), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			to := page
			if path != "" {
				to = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(filepath.Join("../..", to)); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(readDocs(t, to)), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", page, m[1], to)
			}
		}
	}
}
