package gitsource

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gliderssh "github.com/gliderlabs/ssh"
	"github.com/go-git/go-git/v5/plumbing"

	"davit/reconcile"
)

func TestHostileTreeIsRefusedByItsPath(t *testing.T) {
	const dir, regular, link = "40000", "100644", "120000"
	evil := func(r *repo) plumbing.Hash { return r.blob("evil") }
	for name, tt := range map[string]struct {
		tree func(r *repo) plumbing.Hash
		path string
		want error
	}{
		"parent as a file": {func(r *repo) plumbing.Hash { return r.tree(treeEntry{regular, "..", evil(r)}) }, "..", ErrTreeRefused},
		"parent as a directory": {func(r *repo) plumbing.Hash {
			return r.tree(treeEntry{dir, "..", r.tree(treeEntry{regular, "x", evil(r)})})
		}, "..", ErrTreeRefused},
		"this directory":    {func(r *repo) plumbing.Hash { return r.tree(treeEntry{regular, ".", evil(r)}) }, ".", ErrTreeRefused},
		"a path for a name": {func(r *repo) plumbing.Hash { return r.tree(treeEntry{regular, "../../x", evil(r)}) }, "../../x", ErrTreeRefused},
		"an absolute name":  {func(r *repo) plumbing.Hash { return r.tree(treeEntry{regular, "/etc/x", evil(r)}) }, "/etc/x", ErrTreeRefused},
		"a Git directory": {func(r *repo) plumbing.Hash {
			return r.tree(treeEntry{dir, ".git", r.tree(treeEntry{regular, "config", evil(r)})})
		}, ".git", ErrTreeRefused},
		"a Git directory in capitals, deeper": {func(r *repo) plumbing.Hash {
			return r.tree(treeEntry{dir, "sub", r.tree(treeEntry{regular, ".GIT", evil(r)})})
		}, "sub/.GIT", ErrTreeRefused},
		"one name twice": {func(r *repo) plumbing.Hash {
			return r.tree(treeEntry{link, "a", r.blob("/etc")}, treeEntry{dir, "a", r.tree(treeEntry{regular, "x", evil(r)})})
		}, "a", ErrTreeRefused},
		"two links and a directory of one name": {func(r *repo) plumbing.Hash {
			return r.tree(treeEntry{link, "a", r.blob("b")}, treeEntry{dir, "a", r.tree(treeEntry{regular, "x", evil(r)})})
		}, "a", ErrTreeRefused},
		"a long name":           {func(r *repo) plumbing.Hash { return r.tree(treeEntry{regular, strings.Repeat("n", 256), evil(r)}) }, "nnn", ErrTreeRefused},
		"an absolute link":      {func(r *repo) plumbing.Hash { return r.files(map[string]string{"l": "-> /etc/shadow"}) }, "l", ErrTreeRefused},
		"a link to the outside": {func(r *repo) plumbing.Hash { return r.files(map[string]string{"d/l": "-> ../../x"}) }, "d/l", ErrTreeRefused},
		"a link to itself":      {func(r *repo) plumbing.Hash { return r.files(map[string]string{"l": "-> l"}) }, "l", ErrTreeRefused},
		"links in a circle":     {func(r *repo) plumbing.Hash { return r.files(map[string]string{"a": "-> b", "b": "-> a"}) }, "a", ErrTreeRefused},
		"a link out by another": {func(r *repo) plumbing.Hash {
			return r.files(map[string]string{"d/e/up": "-> ../..", "l": "-> d/e/up/../x"})
		}, "l", ErrTreeRefused},
		"a link without target": {func(r *repo) plumbing.Hash { return r.files(map[string]string{"l": "-> "}) }, "l", ErrTreeRefused},
		"a link's endless target": {func(r *repo) plumbing.Hash {
			return r.files(map[string]string{"l": "-> " + strings.Repeat("x/", 3000)})
		}, "", ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			good := r.push("main", map[string]string{"a": "1"})
			s := open(t, Options{URL: serveHTTP(t, r).url()})
			poll(t, s)
			r.pushTree("main", tt.tree(r))
			err := pollStalls(t, s, tt.want)
			if !strings.Contains(err.Error(), tt.path) {
				t.Errorf("error %q does not name %q", err, tt.path)
			}
			if last, _ := s.Last(); last.Commit != good || content(t, last, "a") != "1" {
				t.Error("the last export was touched")
			}
			if left := staged(t, s); len(left) > 0 {
				t.Errorf("left: %s", left)
			}
		})
	}
}

func TestHarmlessOddTreesAreExported(t *testing.T) {
	r := newRepo(t)
	r.pushTree("main", r.tree(
		treeEntry{"120000", "dangling", r.blob("not/there")},
		treeEntry{"40000", "empty", r.tree()},
		treeEntry{"100664", "group-writable", r.blob("old")},
		treeEntry{"160000", "module", plumbing.NewHash(strings.Repeat("12", 20))},
		treeEntry{"100644", "tab\tname", r.blob("x")},
	))
	got := poll(t, open(t, Options{URL: r.dir}))
	if target, err := os.Readlink(filepath.Join(got.Dir, "dangling")); err != nil || target != "not/there" {
		t.Errorf("link: %q, %v", target, err)
	}
	if content(t, got, "group-writable") != "old" || content(t, got, "tab\tname") != "x" {
		t.Error("files differ")
	}
	if _, err := os.Lstat(filepath.Join(got.Dir, "module")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("submodule: %v", err)
	}
}

func TestLimitsHold(t *testing.T) {
	deep := strings.Repeat("d/", 40) + "f"
	for name, tt := range map[string]struct {
		files  map[string]string // nil for one file too many
		limits Limits
	}{
		"on the number of files":  {nil, Limits{}},
		"on the depth":            {map[string]string{deep: "x"}, Limits{}},
		"on one file":             {map[string]string{"a": strings.Repeat("x", 2000)}, Limits{File: 1999}},
		"on one file, compressed": {map[string]string{"a": strings.Repeat("x", 20*mebi)}, Limits{File: mebi}},
		"on all files":            {map[string]string{"a": strings.Repeat("x", 700), "b": strings.Repeat("y", 700)}, Limits{Bytes: 1000}},
		"on the pack":             {map[string]string{"a": strings.Repeat("x", 700)}, Limits{Pack: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			server := serveHTTP(t, r)
			if tt.files == nil {
				empty, many := r.blob(""), []treeEntry(nil)
				for i := range 10_001 {
					many = append(many, treeEntry{"100644", fmt.Sprintf("f%05d", i), empty})
				}
				r.pushTree("main", r.tree(many...))
			} else {
				r.push("main", tt.files)
			}
			s := open(t, Options{URL: server.url(), Limits: tt.limits})
			pollStalls(t, s, ErrTooLarge)
			pollStalls(t, s, ErrTooLarge)
			if n := server.fetches(); n != 1 {
				t.Errorf("what was refused was fetched %d times", n)
			}
		})
	}
}

// pack writes a pack file of raw entries, each a type, a declared size and
// content to be compressed.
func pack(entries ...packEntry) []byte {
	var b bytes.Buffer
	b.WriteString("PACK")
	_ = binary.Write(&b, binary.BigEndian, [2]uint32{2, uint32(len(entries))})
	for _, e := range entries {
		size := e.size
		head := byte(e.kind)<<4 | byte(size&15)
		for size >>= 4; size > 0; size >>= 7 {
			b.WriteByte(head | 0x80)
			head = byte(size & 0x7f)
		}
		b.WriteByte(head)
		b.Write(e.base)
		z := zlib.NewWriter(&b)
		_, _ = z.Write(e.content)
		_ = z.Close()
	}
	sum := sha1.Sum(b.Bytes())
	return append(b.Bytes(), sum[:]...)
}

type packEntry struct {
	kind    plumbing.ObjectType
	size    int64
	base    []byte
	content []byte
}

func TestPackBombIsRefusedBeforeItIsInflated(t *testing.T) {
	zeros := make([]byte, 30*mebi)
	delta := func(target uint64) packEntry {
		d := binary.AppendUvarint(binary.AppendUvarint(nil, 1), target)
		return packEntry{plumbing.REFDeltaObject, int64(len(d)), make([]byte, 20), d}
	}
	for name, tt := range map[string]struct {
		pack []byte
		want error
	}{
		"by a large object":        {pack(packEntry{plumbing.BlobObject, int64(len(zeros)), nil, zeros}), ErrTooLarge},
		"by a declared size":       {pack(packEntry{plumbing.BlobObject, 1 << 50, nil, nil}), ErrTooLarge},
		"by a delta":               {pack(delta(1 << 40)), ErrTooLarge},
		"by a delta beyond int64":  {pack(delta(1 << 63)), ErrTooLarge},
		"by the number of objects": {append([]byte("PACK\x00\x00\x00\x02\xff\xff\xff\xff"), make([]byte, 20)...), ErrTooLarge},
		"by what it is not":        {[]byte("<html>login</html>"), errDamaged},
		"by being empty":           {nil, errDamaged},
		"by ending early":          {pack(packEntry{plumbing.BlobObject, 100, nil, zeros[:100]})[:20], errDamaged},
		"by a wrong size":          {pack(packEntry{plumbing.BlobObject, 5, nil, zeros[:100]}), errDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			w := want{dir: t.TempDir(), limits: Limits{File: mebi, Bytes: 4 * mebi, Pack: mebi}}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := storePack(t.Context(), bytes.NewReader(tt.pack), w)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, tt.want) {
				t.Errorf("storePack() = %v, want %v", err, tt.want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 16*mebi {
				t.Errorf("it took %d MiB", used/mebi)
			}
		})
	}
}

func TestTruncatedPackIsFetchedOnceMore(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": strings.Repeat("content\n", 100)})
	server := serveHTTP(t, r)
	var cut atomic.Bool
	server.intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPost || cut.Swap(true) {
			return false
		}
		asked, _ := io.ReadAll(req.Body)
		out, err := http.Post(server.url()+"/git-upload-pack", req.Header.Get("Content-Type"), bytes.NewReader(asked))
		if err != nil {
			t.Error(err)
			return true
		}
		defer out.Body.Close()
		whole, _ := io.ReadAll(out.Body)
		w.Header().Set("Content-Type", out.Header.Get("Content-Type"))
		_, _ = w.Write(append(whole[:len(whole)-60], "0000"...))
		return true
	})
	s := open(t, Options{URL: server.url()})
	got, err := s.Poll(t.Context())
	if err != nil {
		// Cut where the protocol notices it, this is an ordinary failure: the next
		// poll succeeds.
		got = poll(t, s)
	}
	if content(t, got, "a") != strings.Repeat("content\n", 100) {
		t.Error("the export is not whole")
	}
}

func TestFlippedBitInALocalRepositoryIsNoticed(t *testing.T) {
	r := newRepo(t)
	blob := r.blob("precious")
	r.pushTree("main", r.tree(treeEntry{"100644", "a", blob}))
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, err := io.WriteString(w, "blob 8\x00poisoned")
	must(t, errors.Join(err, w.Close()))
	path := filepath.Join(r.dir, "objects", blob.String()[:2], blob.String()[2:])
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, z.Bytes(), 0o600))
	s := open(t, Options{URL: r.dir})
	if _, err := s.Poll(t.Context()); !errors.Is(err, errDamaged) {
		t.Errorf("Poll() = %v", err)
	}
	must(t, os.Remove(path))
	if _, err := s.Poll(t.Context()); !errors.Is(err, errDamaged) {
		t.Errorf("Poll() with a missing object = %v", err)
	}
}

// silent accepts connections and does with each what serve does.
func silent(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestDeadlinesHoldAgainstServersThatStall(t *testing.T) {
	hold := func(c net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
	}
	drip := func(opening string) func(net.Conn) {
		return func(c net.Conn) {
			asked := make(chan struct{})
			go func() {
				// An answer to a question that was not asked is another mistake.
				_, _ = c.Read(make([]byte, 1))
				close(asked)
				_, _ = io.Copy(io.Discard, c)
			}()
			go func() {
				defer c.Close()
				<-asked
				_, err := io.WriteString(c, opening)
				for err == nil {
					time.Sleep(5 * time.Millisecond)
					_, err = c.Write([]byte("0"))
				}
			}()
		}
	}
	auth := serveSSH(t).auth
	const chunked = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nContent-Length: 100000\r\n\r\nfff0"
	for name, o := range map[string]Options{
		"silently over http":  {URL: "http://" + silent(t, hold) + "/shop.git"},
		"silently over https": {URL: "https://" + silent(t, hold) + "/shop.git"},
		"silently over ssh":   {URL: "ssh://git@" + silent(t, hold) + "/shop.git", Auth: auth},
		"by drips over http":  {URL: "http://" + silent(t, drip(chunked)) + "/shop.git"},
		"by drips over ssh":   {URL: "ssh://git@" + silent(t, drip("SSH-2.0-slow\r\n\x00\x00\x7f\xf0")) + "/shop.git", Auth: auth},
		"by endless banners":  {URL: "ssh://git@" + silent(t, drip("hello\r\n")) + "/shop.git", Auth: auth},
	} {
		t.Run(name, func(t *testing.T) {
			o.ListTimeout = 150 * time.Millisecond
			s := open(t, o)
			start := time.Now()
			_, err := s.Poll(t.Context())
			// A banner may be cut by the protocol before the deadline.
			if !errors.Is(err, context.DeadlineExceeded) && name != "by endless banners" || err == nil {
				t.Errorf("Poll() = %v", err)
			}
			var stalled *reconcile.Stalled
			if errors.As(err, &stalled) {
				t.Error("weather counts as a stall")
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestFetchDeadlineHolds(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": "1"})
	server := serveHTTP(t, r)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	server.intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodPost {
			return false
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-req.Context().Done():
		}
		return true
	})
	s := open(t, Options{URL: server.url(), FetchTimeout: 150 * time.Millisecond})
	if _, err := s.Poll(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "fetch") {
		t.Errorf("Poll() = %v", err)
	}
	if left := staged(t, s); len(left) > 0 {
		t.Errorf("left: %s", left)
	}
}

func TestFetchDeadlineHoldsOverSSH(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": "1"})
	// The server lists, and then never hears what is wanted.
	server := serveSSHTo(t, func(in io.WriteCloser, s gliderssh.Session) {
		<-s.Context().Done()
		in.Close()
	})
	s := open(t, Options{URL: "ssh://git@" + server.addr + r.dir, Auth: server.auth, FetchTimeout: 300 * time.Millisecond})
	if _, err := s.Poll(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "fetch") {
		t.Errorf("Poll() = %v", err)
	}
}

func TestCancelledPollSaysSo(t *testing.T) {
	r := newRepo(t)
	r.push("main", map[string]string{"a": "1"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, url := range []string{r.dir, serveHTTP(t, r).url()} {
		if _, err := open(t, Options{URL: url}).Poll(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Poll() = %v", err)
		}
	}
}

func TestServersThatAnswerNonsenseAreRetried(t *testing.T) {
	flood := strings.Repeat("x", 1<<16)
	for name, handler := range map[string]http.HandlerFunc{
		"a web page":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>please log in</html>") },
		"an empty page": func(http.ResponseWriter, *http.Request) {},
		"an error":      func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "\x1b[31mboom", 500) },
		"a broken line": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "zzzz") },
		"a cut":         func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
		"an endless page": func(w http.ResponseWriter, _ *http.Request) {
			for range 2 * maxListing / len(flood) {
				if _, err := io.WriteString(w, flood); err != nil {
					return
				}
			}
		},
		"an endless error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			for range 2 * maxListing / len(flood) {
				if _, err := io.WriteString(w, flood); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			t.Cleanup(server.Close)
			_, err := open(t, Options{URL: server.URL + "/shop.git"}).Poll(t.Context())
			var stalled *reconcile.Stalled
			if err == nil || errors.As(err, &stalled) {
				t.Errorf("Poll() = %v", err)
			}
			if strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 600 {
				t.Errorf("unclean error %q", err)
			}
		})
	}
}

func TestEndlessListingIsCut(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "001e# service=git-upload-pack\n0000")
		for i := 0; ; i++ {
			line := fmt.Sprintf("%040x refs/heads/b%07d", i+1, i)
			if i == 0 {
				line += "\x00ofs-delta"
			}
			if _, err := fmt.Fprintf(w, "%04x%s\n", len(line)+5, line); err != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	pollStalls(t, open(t, Options{URL: server.URL + "/shop.git"}), ErrTooLarge)
}

func TestBusyServerSaysWhenToComeBack(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(server.Close)
	_, err := open(t, Options{URL: server.URL + "/shop.git"}).Poll(t.Context())
	var waiting *reconcile.Waiting
	if !errors.As(err, &waiting) || waiting.After != 2*time.Minute {
		t.Errorf("Poll() = %v", err)
	}
}

func TestRetryAfterIsReadAndBounded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "7": 7 * time.Second, "999999999999": maxRetryAfter,
		"Thu, 01 Jan 2026 00:01:00 GMT": time.Minute, "Wed, 31 Dec 2025 00:00:00 GMT": 0, "Fri, 01 Jan 2027 00:00:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", value, got, want)
		}
	}
}
