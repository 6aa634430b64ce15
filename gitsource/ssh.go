package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
)

// sshSession is go-git's session over SSH with deadlines that hold. go-git's own
// makes its connection without the caller's context, so a server that accepts
// and then stays silent blocks it for ever; it also reads ~/.ssh and asks the
// SSH agent, which this one never does.
type sshSession struct {
	conn    net.Conn
	client  *ssh.Client
	session *ssh.Session
	stdin   io.WriteCloser
	stdout  io.Reader
	stderr  *tail
	adverts *packp.AdvRefs
}

var _ transport.UploadPackSession = (*sshSession)(nil)

const (
	defaultSSHUser = "git"
	defaultSSHPort = 22
)

// dialSSH connects, authenticates and starts git-upload-pack.
func dialSSH(ctx context.Context, at address, keys credentials) (*sshSession, error) {
	port := at.port
	if port == 0 {
		port = defaultSSHPort
	}
	hostPort := net.JoinHostPort(at.host, strconv.Itoa(port))
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", hostPort)
	if err != nil {
		return nil, err
	}
	s := &sshSession{conn: conn, stderr: new(tail)}
	defer s.guard(ctx)()
	if err := s.start(hostPort, at, keys); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// guard ends the connection, and with it whatever waits for it, when the
// context ends before the returned function is called.
func (s *sshSession) guard(ctx context.Context) (stop func()) {
	cancel := context.AfterFunc(ctx, func() { _ = s.conn.Close() })
	return func() { cancel() }
}

func (s *sshSession) start(hostPort string, at address, keys credentials) error {
	conn, channels, requests, err := ssh.NewClientConn(s.conn, hostPort, sshConfig(hostPort, at, keys))
	if err != nil {
		return err
	}
	s.client = ssh.NewClient(conn, channels, requests)
	if s.session, err = s.client.NewSession(); err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	s.session.Stderr = s.stderr
	if s.stdin, err = s.session.StdinPipe(); err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if s.stdout, err = s.session.StdoutPipe(); err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err = s.session.Start("git-upload-pack " + quote(at.path)); err != nil {
		return fmt.Errorf("start git-upload-pack: %w", err)
	}
	return nil
}

// sshConfig offers the key first. Both the callback and the algorithms come from
// the known_hosts file: without the latter a server with several keys may
// present one that the file lacks, which looks like an attack and is none.
func sshConfig(hostPort string, at address, keys credentials) *ssh.ClientConfig {
	user := at.user
	if user == "" {
		user = keys.username
	}
	if user == "" {
		user = defaultSSHUser
	}
	c := &ssh.ClientConfig{
		User:              user,
		HostKeyCallback:   keys.hosts.HostKeyCallback(),
		HostKeyAlgorithms: keys.hosts.HostKeyAlgorithms(hostPort),
	}
	if keys.signer != nil {
		c.Auth = append(c.Auth, ssh.PublicKeys(keys.signer))
	}
	if keys.password != "" {
		c.Auth = append(c.Auth, ssh.Password(keys.password))
	}
	return c
}

// quote makes path one word for the server's shell, as git's sq_quote_buf does.
func quote(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

func (s *sshSession) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

func (s *sshSession) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	if s.adverts != nil {
		return s.adverts, nil
	}
	defer s.guard(ctx)()
	limited := &io.LimitedReader{R: s.stdout, N: maxListing}
	ar := packp.NewAdvRefs()
	err := ar.Decode(limited)
	switch {
	case limited.N <= 0:
		return nil, stalled(ErrTooLarge, "read a listing of more than %d bytes", maxListing)
	case errors.Is(err, packp.ErrEmptyInput):
		return nil, s.died()
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && ar.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case err != nil:
		return nil, err
	}
	transport.FilterUnsupportedCapabilities(ar.Capabilities)
	s.adverts = ar
	return ar, nil
}

// died explains a server that said nothing on the protocol's channel.
func (s *sshSession) died() error {
	// Some servers wait for the end of their input before they report their own.
	_ = s.stdin.Close()
	err := s.session.Wait()
	text := clean(s.stderr.String(), 300)
	switch {
	case text == "" && err == nil:
		return io.ErrUnexpectedEOF
	case text == "":
		return fmt.Errorf("git-upload-pack: %w", err)
	}
	return serverSaid(text)
}

// serverSaid tells from a server's words what only words tell.
func serverSaid(text string) error {
	lower := strings.ToLower(text)
	has := func(phrases ...string) bool {
		for _, p := range phrases {
			if strings.Contains(lower, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("not our ref", "unadvertised object"):
		return fmt.Errorf("%w: %s", errNotOurRef, text)
	case has("repository not found", "does not appear to be a git repository", "repository does not exist",
		"does not exist", "no such repository", "could not be found", "not a git repository"):
		return fmt.Errorf("%w: %s", transport.ErrRepositoryNotFound, text)
	case has("permission denied", "access denied", "not allowed", "unauthorized", "forbidden"):
		return fmt.Errorf("%w: %s", transport.ErrAuthorizationFailed, text)
	}
	return fmt.Errorf("the server said: %s", text)
}

func (s *sshSession) UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	stop := s.guard(ctx)
	res, err := s.request(req, stop)
	if err != nil {
		stop()
		return nil, err
	}
	return res, nil
}

// request sends what is wanted; stop is called when its answer is closed.
func (s *sshSession) request(req *packp.UploadPackRequest, stop func()) (*packp.UploadPackResponse, error) {
	if err := req.Validate(); err != nil {
		return nil, fmt.Errorf("ask for a pack: %w", err)
	}
	var b bytes.Buffer
	if err := req.UploadRequest.Encode(&b); err != nil {
		return nil, fmt.Errorf("ask for a pack: %w", err)
	}
	if err := req.UploadHaves.Encode(&b, true); err != nil {
		return nil, fmt.Errorf("ask for a pack: %w", err)
	}
	if err := pktline.NewEncoder(&b).EncodeString("done\n"); err != nil {
		return nil, fmt.Errorf("ask for a pack: %w", err)
	}
	if _, err := s.stdin.Write(b.Bytes()); err != nil {
		return nil, fmt.Errorf("ask for a pack: %w", err)
	}
	if err := s.stdin.Close(); err != nil {
		return nil, fmt.Errorf("ask for a pack: %w", err)
	}
	res := packp.NewUploadPackResponse(req)
	if err := res.Decode(answer{s.stdout, stop}); err != nil {
		return nil, err
	}
	return res, nil
}

// answer is a pack's stream and what ends with it.
type answer struct {
	io.Reader
	stop func()
}

func (a answer) Close() error {
	a.stop()
	return nil
}

// Close ends the connection at once and waits until nothing works on it. What
// the server thinks of that is of no interest, so there is no error.
func (s *sshSession) Close() error {
	_ = s.conn.Close()
	if s.client != nil {
		_ = s.client.Wait()
	}
	return nil
}

// tail keeps the first kilobyte that a server writes to its standard error.
type tail struct {
	mu  sync.Mutex
	buf prefix
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.limit = 1024
	return t.buf.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf.buf)
}
