package testbed

import (
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// GitServer serves bare repositories over Git's smart HTTP protocol with Git's own
// server program. Repositories are written to on disk, not through it: a push
// works while it is stopped.
type GitServer struct {
	*Server
	root string
}

func newGitServer(tb TB, root string) *GitServer {
	tb.Helper()
	programs, err := exec.CommandContext(tb.Context(), "git", "--exec-path").Output()
	if err != nil {
		tb.Fatalf("find git http-backend: %v", err)
	}
	handler := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(programs)), "git-http-backend"),
		Env:  append(gitEnv(root), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1"),
		// What it complains about is what a client that went away leaves behind.
		Stderr: discard{},
	}
	return &GitServer{Server: newServer(tb, http.Handler(handler)), root: root}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// gitEnv keeps the machine's own Git configuration, and that of a hook that runs
// the tests, out of the repositories.
func gitEnv(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + home,
		"LC_ALL=C",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ada Operator",
		"GIT_AUTHOR_EMAIL=ada@example.com",
		"GIT_COMMITTER_NAME=Ada Operator",
		"GIT_COMMITTER_EMAIL=ada@example.com",
	}
}
