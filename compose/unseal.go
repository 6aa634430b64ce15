package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// unseal decrypts content to its place in memory, unless it is there.
func (s Secrets) unseal(c Content) error {
	switch info, err := os.Lstat(c.To); {
	case err == nil && info.Mode().IsRegular():
		secret, err := os.ReadFile(c.To)
		s.learn(string(secret))
		return err
	case err == nil:
		// An engine that was asked to mount what was not there has made a directory.
		if err := os.Remove(c.To); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	data, err := os.ReadFile(c.Copy)
	if err != nil {
		return err
	}
	secret, err := s.open(data)
	if err != nil {
		return err
	}
	s.learn(string(secret))
	dir := filepath.Dir(c.To)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := inMemory(dir); err != nil {
		return err
	}
	return publish(c.To, secret)
}

// publish makes a file appear at once and whole. Every user of a container may read
// it, as with Compose; on the host only who may enter the directory.
func publish(at string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(at), temporary)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(0o444), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), at)
}

// The kinds of file systems that are in memory, from linux/magic.h.
const (
	tmpfsMagic = 0x01021994
	ramfsMagic = 0x858458f6
)

// inMemory refuses a directory that is on a disk: what is decrypted must not
// outlive the host's power.
func inMemory(dir string) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	if kind := int64(s.Type) & 0xffffffff; kind != tmpfsMagic && kind != ramfsMagic {
		return fmt.Errorf("%s is on a disk, where no decrypted secret may be: name a directory on a tmpfs with secrets_dir", dir)
	}
	return nil
}
