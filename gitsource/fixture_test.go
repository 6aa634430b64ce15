package gitsource

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gliderssh "github.com/gliderlabs/ssh"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"davit/reconcile"
)

// repo is a bare repository whose objects are written byte by byte, so that it
// can hold what git itself would refuse to make.
type repo struct {
	t     *testing.T
	dir   string
	store *filesystem.Storage
	clock time.Time
}

func newRepo(t *testing.T) *repo {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop.git")
	r, err := git.PlainInit(dir, true)
	must(t, err)
	out := &repo{t: t, dir: dir, store: r.Storer.(*filesystem.Storage), clock: time.Date(2026, 11, 21, 4, 58, 0, 0, time.UTC)}
	out.ref("HEAD", "refs/heads/main")
	return out
}

func (r *repo) object(kind plumbing.ObjectType, content string) plumbing.Hash {
	r.t.Helper()
	o := r.store.NewEncodedObject()
	o.SetType(kind)
	w, err := o.Writer()
	must(r.t, err)
	_, err = io.WriteString(w, content)
	must(r.t, errors.Join(err, w.Close()))
	hash, err := r.store.SetEncodedObject(o)
	must(r.t, err)
	return hash
}

func (r *repo) blob(content string) plumbing.Hash { return r.object(plumbing.BlobObject, content) }

type treeEntry struct {
	mode, name string
	hash       plumbing.Hash
}

// tree writes the entries in the order given, valid or not.
func (r *repo) tree(entries ...treeEntry) plumbing.Hash {
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.mode + " " + e.name + "\x00" + string(e.hash[:]))
	}
	return r.object(plumbing.TreeObject, b.String())
}

// files writes a flat or nested tree; a name that ends in * is executable, a
// content that begins with "-> " is a link.
func (r *repo) files(files map[string]string) plumbing.Hash {
	below := map[string]map[string]string{}
	var entries []treeEntry
	for name, content := range files {
		if dir, rest, ok := strings.Cut(name, "/"); ok {
			if below[dir] == nil {
				below[dir] = map[string]string{}
			}
			below[dir][rest] = content
			continue
		}
		switch plain, exec := strings.CutSuffix(name, "*"); {
		case strings.HasPrefix(content, "-> "):
			entries = append(entries, treeEntry{"120000", name, r.blob(content[3:])})
		case exec:
			entries = append(entries, treeEntry{"100755", plain, r.blob(content)})
		default:
			entries = append(entries, treeEntry{"100644", name, r.blob(content)})
		}
	}
	for dir, inner := range below {
		entries = append(entries, treeEntry{"40000", dir, r.files(inner)})
	}
	slices.SortFunc(entries, func(a, b treeEntry) int { return strings.Compare(a.key(), b.key()) })
	return r.tree(entries...)
}

// key is what Git sorts by.
func (e treeEntry) key() string {
	if e.mode == "40000" {
		return e.name + "/"
	}
	return e.name
}

func (r *repo) commitTree(tree plumbing.Hash, subject string, parents ...plumbing.Hash) plumbing.Hash {
	r.clock = r.clock.Add(time.Minute)
	var b strings.Builder
	fmt.Fprintf(&b, "tree %s\n", tree)
	for _, p := range parents {
		fmt.Fprintf(&b, "parent %s\n", p)
	}
	fmt.Fprintf(&b, "author Ada <ada@example.org> %d +0100\ncommitter Bob <bob@example.org> %d +0200\n\n%s\n\nbody\n",
		r.clock.Unix()-3600, r.clock.Unix(), subject)
	return r.object(plumbing.CommitObject, b.String())
}

// push commits the files on top of the branch.
func (r *repo) push(branch string, files map[string]string) string {
	return r.pushTree(branch, r.files(files))
}

func (r *repo) pushTree(branch string, tree plumbing.Hash) string {
	r.t.Helper()
	var parents []plumbing.Hash
	if tip, err := r.store.Reference(plumbing.NewBranchReferenceName(branch)); err == nil {
		parents = append(parents, tip.Hash())
	}
	c := r.commitTree(tree, "Change the shop", parents...)
	r.ref("refs/heads/"+branch, c.String())
	return c.String()
}

// tag makes an annotated tag, or a lightweight one.
func (r *repo) tag(name, commit string, annotated bool) {
	r.t.Helper()
	if annotated {
		commit = r.object(plumbing.TagObject, fmt.Sprintf(
			"object %s\ntype commit\ntag %s\ntagger Ada <ada@example.org> %d +0000\n\nrelease\n", commit, name, r.clock.Unix())).String()
	}
	r.ref("refs/tags/"+name, commit)
}

func (r *repo) ref(name, target string) {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if strings.HasPrefix(target, "refs/") {
		target = "ref: " + target
	}
	must(r.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(r.t, os.WriteFile(path, []byte(target+"\n"), 0o644))
}

func (r *repo) deleteRef(name string) {
	r.t.Helper()
	must(r.t, os.Remove(filepath.Join(r.dir, name)))
}

// gitEnv keeps the machine's and the user's Git configuration out of the tests.
func gitEnv() []string {
	return []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "HOME=/nonexistent", "PATH=" + os.Getenv("PATH")}
}

// gitCommand runs git beside the repository.
func (r *repo) gitCommand(args ...string) {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = filepath.Dir(r.dir), gitEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("git %s: %v: %s", args, err, out)
	}
}

// webServer is git http-backend behind HTTP, with a record of the requests.
type webServer struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	password string // "" lets everybody in
	before   func(w http.ResponseWriter, r *http.Request) (done bool)
}

func serveHTTP(t *testing.T, r *repo) *webServer {
	t.Helper()
	path, err := exec.Command("git", "--exec-path").Output()
	must(t, err)
	backend := &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env:    append(gitEnv(), "GIT_PROJECT_ROOT="+filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1"),
		Stderr: io.Discard,
	}
	s := &webServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, req.Method)
		password, before := s.password, s.before
		s.mu.Unlock()
		if _, got, _ := req.BasicAuth(); password != "" && got != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		if before == nil || !before(w, req) {
			backend.ServeHTTP(w, req)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *webServer) url() string { return s.URL + "/shop.git" }

func (s *webServer) setPassword(p string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = p
}

func (s *webServer) intercept(f func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// fetches is how many packs were asked for.
func (s *webServer) fetches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, m := range s.requests {
		if m == http.MethodPost {
			n++
		}
	}
	return n
}

// keyPair is an SSH key, and its file.
func keyPair(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	return signer, write(t, string(pem.EncodeToMemory(block)))
}

// sshServer runs git-upload-pack behind SSH for one key.
type sshServer struct {
	addr string
	auth Auth
}

func serveSSH(t *testing.T) sshServer {
	t.Helper()
	return serveSSHTo(t, func(in io.WriteCloser, s gliderssh.Session) { _, _ = io.Copy(in, s); in.Close() })
}

// serveSSHTo leaves it to feed what git-upload-pack hears of the client.
func serveSSHTo(t *testing.T, feed func(in io.WriteCloser, s gliderssh.Session)) sshServer {
	t.Helper()
	host, _ := keyPair(t)
	client, keyFile := keyPair(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &gliderssh.Server{
		HostSigners: []gliderssh.Signer{host},
		PublicKeyHandler: func(_ gliderssh.Context, key gliderssh.PublicKey) bool {
			return bytes.Equal(key.Marshal(), client.PublicKey().Marshal())
		},
		Handler: func(s gliderssh.Session) {
			cmd := exec.CommandContext(s.Context(), "git-upload-pack", s.Command()[1])
			cmd.Env, cmd.Stdout, cmd.Stderr = gitEnv(), s, s.Stderr()
			in, err := cmd.StdinPipe()
			if err != nil || cmd.Start() != nil {
				_ = s.Exit(127)
				return
			}
			go feed(in, s) // ends when s is closed
			code := 0
			if cmd.Wait() != nil {
				code = 128
			}
			_ = s.Exit(code)
		},
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	line := knownhosts.Line([]string{l.Addr().String()}, host.PublicKey())
	return sshServer{addr: l.Addr().String(), auth: Auth{SSHKeyFile: keyFile, KnownHostsFile: write(t, line+"\n")}}
}

// write puts content into a file of its own.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func open(t *testing.T, o Options) *Source {
	t.Helper()
	if o.Data == "" {
		o.Data = t.TempDir()
	}
	s, err := New(o)
	must(t, err)
	return s
}

func poll(t *testing.T, s *Source) reconcile.Revision {
	t.Helper()
	r, err := s.Poll(t.Context())
	must(t, err)
	return r
}

// pollStalls polls and wants a Stalled around cause, with a hint.
func pollStalls(t *testing.T, s *Source, cause error) error {
	t.Helper()
	_, err := s.Poll(t.Context())
	var stalled *reconcile.Stalled
	if !errors.As(err, &stalled) || !errors.Is(err, cause) {
		t.Fatalf("Poll() = %v, want a stall because %v", err, cause)
	}
	return err
}

func content(t *testing.T, r reconcile.Revision, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.Dir, name))
	must(t, err)
	return string(b)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// staged lists what fetches left behind.
func staged(t *testing.T, s *Source) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(s.shelf.dir, stagingPrefix+"*"))
	must(t, err)
	return left
}
