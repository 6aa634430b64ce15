package testbed

import (
	"os/exec"
	"strings"
	"testing"
)

// listRemote asks the Git server over HTTP, as an agent does.
func listRemote(t *testing.T, url string, args ...string) (string, error) {
	command := exec.CommandContext(t.Context(), "git", append([]string{"ls-remote", url}, args...)...)
	command.Env, command.Dir = gitEnv(t.TempDir()), t.TempDir()
	output, err := command.CombinedOutput()
	return string(output), err
}

func gitWorld(t *testing.T) (*GitServer, *Repo) {
	server := newGitServer(t, t.TempDir())
	return server, newRepo(t, server, t.TempDir(), "shop")
}

func TestGitServerServesWhatIsPushed(t *testing.T) {
	_, repo := gitWorld(t)
	one := repo.Release("v1.0.0", map[string]string{"compose.yaml": "one\n"})
	two := repo.Release("v1.1.0", map[string]string{"compose.yaml": "two\n", "db/init.sql": "x\n"})
	output, err := listRemote(t, repo.URL)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, want := range []string{
		two + "\tHEAD", two + "\trefs/heads/main", one + "\trefs/tags/v1.0.0^{}", two + "\trefs/tags/v1.1.0^{}",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("server does not have %q:\n%s", want, output)
		}
	}
	clone := t.TempDir()
	if output, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", "--depth=1", repo.URL, clone).CombinedOutput(); err != nil {
		t.Fatalf("shallow clone: %v\n%s", err, output)
	}
}

func TestRepoRevertBringsTheContentBack(t *testing.T) {
	_, repo := gitWorld(t)
	repo.Release("v1.0.0", map[string]string{"compose.yaml": "one\n"})
	repo.Release("v1.1.0", map[string]string{"compose.yaml": "two\n"})
	repo.Release("v1.2.0", map[string]string{"compose.yaml": "three\n"})
	repo.Revert(2)
	if got := repo.git("show", "HEAD:compose.yaml"); got != "one" {
		t.Errorf("content after the revert = %q, want one", got)
	}
	if got := repo.git("rev-list", "--count", "HEAD"); got != "4" {
		t.Errorf("commits = %s, want 4", got)
	}
}

func TestRepoRewritesAndDeletes(t *testing.T) {
	_, repo := gitWorld(t)
	one := repo.Release("v1.0.0", map[string]string{"compose.yaml": "one\n"})
	two := repo.Release("v1.1.0", map[string]string{"compose.yaml": "two\n"})
	repo.Reset(1)
	repo.ForcePush()
	repo.DeleteTag("v1.1.0")
	output, _ := listRemote(t, repo.URL)
	if !strings.Contains(output, one+"\trefs/heads/main") || strings.Contains(output, two) {
		t.Errorf("after the force-push:\n%s", output)
	}
	repo.DeleteBranch("main")
	if output, _ := listRemote(t, repo.URL); strings.Contains(output, "refs/heads/") {
		t.Errorf("after deleting the branch:\n%s", output)
	}
	repo.Hide()
	if output, err := listRemote(t, repo.URL); err == nil {
		t.Errorf("a hidden repository is served:\n%s", output)
	}
	repo.Show()
	if output, err := listRemote(t, repo.URL); err != nil {
		t.Errorf("a repository shown again is not served: %v\n%s", err, output)
	}
}

func TestGitServerChecksThePassword(t *testing.T) {
	server, repo := gitWorld(t)
	repo.Release("v1.0.0", map[string]string{"compose.yaml": "one\n"})
	server.RequirePassword("ada", "right")
	if output, err := listRemote(t, repo.URL); err == nil {
		t.Errorf("served without a password:\n%s", output)
	}
	if output, err := listRemote(t, strings.Replace(repo.URL, "http://", "http://ada:right@", 1)); err != nil {
		t.Errorf("not served with the password: %v\n%s", err, output)
	}
}
