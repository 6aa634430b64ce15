package gitsource

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"davit/reconcile"
)

// credentials are the contents of the files that Auth names.
type credentials struct {
	username, password string
	signer             ssh.Signer
	hosts              *knownhosts.HostKeyDB
	roots              *x509.CertPool // nil for the system's
}

const (
	defaultTokenUser = "x-access-token"
	// maxSecret bounds a credentials file; maxBundle one with many entries.
	maxSecret = 64 << 10
	maxBundle = 4 * mebi
)

// check finds what can be told without reading the files.
func (a Auth) check(at address) error {
	if a.TokenFile != "" && a.PasswordFile != "" {
		return errors.New("configure Git access: a token and a password exclude each other")
	}
	if a.Username != "" && a.TokenFile == "" && a.PasswordFile == "" && at.scheme != schemeSSH {
		return errors.New("configure Git access: a user name needs a token file or a password file")
	}
	if a.PassphraseFile != "" && a.SSHKeyFile == "" {
		return errors.New("configure Git access: a passphrase needs an SSH key file")
	}
	switch at.scheme {
	case schemeSSH:
		if a.KnownHostsFile == "" {
			return reconcile.WithHint(errors.New("configure Git access: SSH needs a known_hosts file"),
				"make one with ssh-keyscan %s, compare its keys with what the server's owner publishes", at.host)
		}
		if a.SSHKeyFile == "" && a.PasswordFile == "" {
			return errors.New("configure Git access: SSH needs a key file or a password file")
		}
	case schemeHTTP:
		if (a.TokenFile != "" || a.PasswordFile != "") && !at.loopback() {
			return reconcile.WithHint(errors.New("configure Git access: credentials are not sent over plain http"),
				"use https; http with credentials is for this machine only")
		}
	case schemeHTTPS, schemeLocal:
	}
	return nil
}

// read reads every file that is named.
func (a Auth) read() (credentials, error) {
	c := credentials{username: a.Username}
	var err error
	switch {
	case a.TokenFile != "":
		c.password, err = readSecret("token", a.TokenFile)
		if c.username == "" {
			c.username = defaultTokenUser
		}
	case a.PasswordFile != "":
		c.password, err = readSecret("password", a.PasswordFile)
	}
	if err != nil {
		return credentials{}, err
	}
	if a.SSHKeyFile != "" {
		if c.signer, err = a.readKey(); err != nil {
			return credentials{}, err
		}
	}
	if a.KnownHostsFile != "" {
		if c.hosts, err = knownhosts.NewDB(a.KnownHostsFile); err != nil {
			return credentials{}, reconcile.WithHint(unusable("known_hosts file", a.KnownHostsFile, err),
				"it holds one line per server, as ssh-keyscan prints them")
		}
	}
	if a.CAFile != "" {
		if c.roots, err = a.readRoots(); err != nil {
			return credentials{}, err
		}
	}
	return c, nil
}

// readKey reads the private key. The parser's errors never quote the key.
func (a Auth) readKey() (ssh.Signer, error) {
	pem, err := readFile(a.SSHKeyFile, maxSecret)
	if err != nil {
		return nil, unusable("SSH key file", a.SSHKeyFile, err)
	}
	var signer ssh.Signer
	if a.PassphraseFile == "" {
		signer, err = ssh.ParsePrivateKey(pem)
	} else {
		var passphrase string
		if passphrase, err = readSecret("passphrase", a.PassphraseFile); err != nil {
			return nil, err
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(pem, []byte(passphrase))
	}
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, reconcile.WithHint(unusable("SSH key file", a.SSHKeyFile, err), "name a passphrase file, or use a deploy key without passphrase")
	}
	if err != nil {
		return nil, unusable("SSH key file", a.SSHKeyFile, err)
	}
	return signer, nil
}

func (a Auth) readRoots() (*x509.CertPool, error) {
	pem, err := readFile(a.CAFile, maxBundle)
	if err != nil {
		return nil, unusable("CA file", a.CAFile, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, unusable("CA file", a.CAFile, errors.New("it holds no certificate in PEM form"))
	}
	return roots, nil
}

func readSecret(what, path string) (string, error) {
	b, err := readFile(path, maxSecret)
	if err != nil {
		return "", unusable(what+" file", path, err)
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" || strings.ContainsAny(secret, "\r\n\x00") {
		return "", unusable(what+" file", path, errors.New("it does not hold exactly one line"))
	}
	return secret, nil
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("it holds more than %d bytes", limit)
	}
	return b, nil
}

func unusable(what, path string, err error) error {
	return &reconcile.Stalled{
		Reason: fmt.Sprintf("read %s %s", what, path),
		Err:    fmt.Errorf("%w: %w", ErrCredentials, err),
	}
}
