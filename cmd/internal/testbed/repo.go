package testbed

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Repo is a bare repository on the Git server with a work tree to commit from, on
// the branch main. Its methods end the test on failure.
type Repo struct {
	// URL is where an agent fetches it, Bare where it lies on disk, and Dir its
	// work tree.
	URL, Bare, Dir string

	tb TB
}

// newRepo makes NAME.git below the server's root. Like the large hosts, it lets a
// client ask for any commit by its id.
func newRepo(tb TB, server *GitServer, work, name string) *Repo {
	tb.Helper()
	r := &Repo{
		URL:  "http://" + server.Addr + "/" + name + ".git",
		Bare: filepath.Join(server.root, name+".git"),
		Dir:  filepath.Join(work, name),
		tb:   tb,
	}
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		tb.Fatalf("make repository %s: %v", name, err)
	}
	r.git("init", "--quiet", "--bare", "--initial-branch=main", r.Bare)
	r.git("-C", r.Bare, "config", "uploadpack.allowAnySHA1InWant", "true")
	r.git("init", "--quiet", "--initial-branch=main")
	r.git("remote", "add", "origin", r.Bare)
	return r
}

// Write puts files into the work tree, by path.
func (r *Repo) Write(files map[string]string) {
	r.tb.Helper()
	for name, content := range files {
		path := filepath.Join(r.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.tb.Fatalf("write %s: %v", name, err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			r.tb.Fatalf("write %s: %v", name, err)
		}
	}
}

// Remove takes a file or directory out of the work tree.
func (r *Repo) Remove(path string) {
	r.tb.Helper()
	if err := os.RemoveAll(filepath.Join(r.Dir, path)); err != nil {
		r.tb.Fatalf("remove %s: %v", path, err)
	}
}

// Rename moves a file or directory within the work tree.
func (r *Repo) Rename(from, to string) {
	r.tb.Helper()
	if err := os.Rename(filepath.Join(r.Dir, from), filepath.Join(r.Dir, to)); err != nil {
		r.tb.Fatalf("rename %s: %v", from, err)
	}
}

// Commit commits the whole work tree, changed or not, and returns the commit's id.
func (r *Repo) Commit(subject string) string {
	r.tb.Helper()
	r.git("add", "--all")
	r.git("commit", "--quiet", "--allow-empty", "--message", subject)
	return r.Head()
}

// Head is the id of the work tree's commit.
func (r *Repo) Head() string {
	r.tb.Helper()
	return r.git("rev-parse", "HEAD")
}

// Tag puts an annotated tag on the work tree's commit, moving it if it exists.
func (r *Repo) Tag(name string) {
	r.tb.Helper()
	r.git("tag", "--force", "--annotate", "--message", name, name)
}

// Push sends the branch and every tag.
func (r *Repo) Push() {
	r.tb.Helper()
	r.git("push", "--quiet", "--atomic", "--tags", "origin", "HEAD")
}

// ForcePush replaces the branch and every tag on the server.
func (r *Repo) ForcePush() {
	r.tb.Helper()
	r.git("push", "--quiet", "--force", "--tags", "origin", "HEAD")
}

// Release writes files, commits, tags, pushes and returns the commit's id. An
// empty tag is left out.
func (r *Repo) Release(tag string, files map[string]string) string {
	r.tb.Helper()
	subject := "deploy " + tag
	if tag == "" {
		subject = "edit"
	}
	r.Write(files)
	commit := r.Commit(subject)
	if tag != "" {
		r.Tag(tag)
	}
	r.Push()
	return commit
}

// Revert undoes the last n commits with one new commit and returns its id.
func (r *Repo) Revert(n int) string {
	r.tb.Helper()
	subject := r.git("log", "-1", "--format=%s")
	r.git("revert", "--no-commit", "HEAD~"+strconv.Itoa(n)+"..HEAD")
	r.git("commit", "--quiet", "--allow-empty", "--message", "Revert \""+subject+"\"")
	return r.Head()
}

// Reset forgets the last n commits, to be followed by ForcePush.
func (r *Repo) Reset(n int) {
	r.tb.Helper()
	r.git("reset", "--quiet", "--hard", "HEAD~"+strconv.Itoa(n))
}

// Branch makes the work tree follow a new branch called name from here.
func (r *Repo) Branch(name string) {
	r.tb.Helper()
	r.git("checkout", "--quiet", "-B", name)
}

// DeleteBranch and DeleteTag remove a ref from the server; what the work tree has
// stays.
func (r *Repo) DeleteBranch(name string) {
	r.tb.Helper()
	r.git("-C", r.Bare, "update-ref", "-d", "refs/heads/"+name)
}

// DeleteTag removes a tag on both sides.
func (r *Repo) DeleteTag(name string) {
	r.tb.Helper()
	r.git("tag", "--delete", name)
	r.git("-C", r.Bare, "update-ref", "-d", "refs/tags/"+name)
}

// Hide makes the server forget the repository until Show.
func (r *Repo) Hide() {
	r.tb.Helper()
	if err := os.Rename(r.Bare, r.Bare+".hidden"); err != nil {
		r.tb.Fatalf("hide repository: %v", err)
	}
}

// Show undoes Hide.
func (r *Repo) Show() {
	r.tb.Helper()
	if err := os.Rename(r.Bare+".hidden", r.Bare); err != nil {
		r.tb.Fatalf("show repository: %v", err)
	}
}

// git runs Git in the work tree and returns what it printed.
func (r *Repo) git(args ...string) string {
	r.tb.Helper()
	command := exec.CommandContext(r.tb.Context(), "git", args...)
	command.Dir, command.Env = r.Dir, gitEnv(filepath.Dir(r.Dir))
	output, err := command.CombinedOutput()
	if err != nil {
		r.tb.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return strings.TrimSpace(string(output))
}
