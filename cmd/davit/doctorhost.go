package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"davit/compose"
	"davit/state"
	"davit/web"
)

// agentCheck asks whether an agent runs, and whether it is this program.
func (d *doctor) agentCheck(ctx context.Context) []finding {
	const name = "agent"
	health, err := d.agent(ctx)
	held, lockErr := state.Held(d.config.Data)
	switch {
	case err == nil && health.Version != programVersion():
		return one(name, levelWarn, fmt.Sprintf("version %s runs, this is %s", health.Version, programVersion()), "restart the agent to run the newer one; no container is touched")
	case err == nil:
		return one(name, levelOK, "version "+health.Version+" runs", "")
	case !errors.Is(err, web.ErrNoAgent):
		return failed(name, err, "an agent that does not answer may be stopped or starved: look at its log")
	case lockErr != nil && !errors.Is(lockErr, fs.ErrPermission):
		return failed(name, lockErr, "")
	case held:
		return one(name, levelFail, "a process holds the data directory and does not answer on its socket", "it may just be starting; else look at its log")
	}
	return one(name, levelWarn, "none runs with this data directory", "start one with `davit run`, or name its data directory with --data")
}

// dataCheck looks at the data directory's place and rights.
func (d *doctor) dataCheck(context.Context) []finding {
	const name = "data directory"
	dir := d.config.Data
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return one(name, levelOK, dir+" is not there yet: the first `davit run` makes it", "")
	case err != nil:
		return failed(name, err, "")
	case !info.IsDir():
		return one(name, levelFail, dir+" is not a directory", "name another with --data")
	case info.Mode().Perm()&0o022 != 0:
		return one(name, levelFail, fmt.Sprintf("%s can be written by others: %s", dir, info.Mode().Perm()), "it decides what runs on this host: chmod 700 "+dir)
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return one(name, levelWarn, fmt.Sprintf("%s cannot be written by this user: %v", dir, err), "run davit as the user that the directory belongs to")
	}
	if kind := networkFileSystem(dir); kind != "" {
		return one(name, levelFail, dir+" is on "+kind, "locks and the record are not safe on a network file system: use a local disk")
	}
	if key, err := os.Stat(filepath.Join(dir, "host.key")); err == nil && key.Mode().Perm()&0o077 != 0 {
		return one(name, levelFail, fmt.Sprintf("the host's key can be read by others: %s", key.Mode().Perm()), "chmod 600 "+filepath.Join(dir, "host.key"))
	}
	return one(name, levelOK, fmt.Sprintf("%s, %s", dir, info.Mode().Perm()), "")
}

// networkFileSystem names the kind of network file system that dir is on.
func networkFileSystem(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return ""
	}
	return map[int64]string{0x6969: "NFS", 0xff534d42: "CIFS", 0xfe534d42: "SMB", 0x517b: "SMB", 0x01021997: "9P"}[int64(st.Type)&0xffffffff]
}

// recordCheck reads the record as status and history do.
func (d *doctor) recordCheck(ctx context.Context) []finding {
	const name = "record"
	if _, err := os.Stat(filepath.Join(d.config.Data, "host.key")); errors.Is(err, fs.ErrNotExist) {
		return one(name, levelOK, "none yet", "")
	}
	r, err := state.OpenReadOnly(d.config.Data)
	if err != nil {
		return failed(name, err, "a damaged record is moved aside and restored when the agent starts")
	}
	defer r.Close()
	stacks, err := r.Stacks(ctx)
	if err != nil {
		return failed(name, err, "")
	}
	return one(name, levelOK, fmt.Sprintf("%d stacks", len(stacks)), "")
}

// What a disk should have left, in bytes and in parts of a hundred.
const (
	littleSpace  = 1 << 30
	noSpace      = 256 << 20
	littleInodes = 5
)

// diskCheck looks at the room for davit's data and for the engine's.
func (d *doctor) diskCheck(ctx context.Context) []finding {
	found := room("disk of davit", existing(d.config.Data))
	if d.config.socket() == "" {
		return found
	}
	h, err := d.engine.Host(ctx)
	if err != nil || h.RootDir == "" {
		return found
	}
	return append(found, room("disk of the engine", h.RootDir)...)
}

// existing is path or the first directory above it that is there.
func existing(path string) string {
	for path != filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

func room(name, dir string) []finding {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return one(name, levelOK, dir+" is not to be seen from here", "")
	}
	if err != nil {
		return failed(name, fmt.Errorf("look at %s: %w", dir, err), "")
	}
	free := st.Bavail * uint64(st.Bsize)
	f := finding{Check: name, Level: levelOK, Seen: fmt.Sprintf("%s: %d MiB free", dir, free>>20)}
	advice := "make room; `docker system df` shows what images and volumes take"
	switch {
	case free < noSpace:
		f.Level, f.Advice = levelFail, advice
	case free < littleSpace:
		f.Level, f.Advice = levelWarn, advice
	case st.Files > 0 && st.Ffree*100 < st.Files*littleInodes:
		f.Level, f.Advice = levelWarn, "there is room for few more files: remove small files, images or containers"
		f.Seen += fmt.Sprintf(", %d of %d inodes", st.Ffree, st.Files)
	}
	return []finding{f}
}

// memoryCheck looks at what is left for a second container beside the first.
func (d *doctor) memoryCheck(context.Context) []finding {
	const name, little = "memory", 256 << 10 // KiB
	text, err := os.ReadFile(filepath.Join(d.root, "proc/meminfo"))
	if err != nil {
		return one(name, levelOK, "not known here", "")
	}
	values := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if key, rest, ok := strings.Cut(lines.Text(), ":"); ok {
			values[key], _ = strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		}
	}
	f := finding{Check: name, Level: levelOK, Seen: fmt.Sprintf("%d MiB of %d available", values["MemAvailable"]>>10, values["MemTotal"]>>10)}
	if values["MemAvailable"] < little {
		f.Level, f.Advice = levelWarn, "a start-first replacement runs two containers for a while: leave room, or declare order: stop-first"
	}
	return []finding{f}
}

// policyCheck reads the policy and asks who may change it.
func (d *doctor) policyCheck(context.Context) []finding {
	const name = "policy"
	file := d.config.Policy
	if file == "" {
		return one(name, levelOK, "none: the permissive preset; whoever can push to the repository can be root on this host", "")
	}
	if _, err := compose.ReadPolicy(file); err != nil {
		return failed(name, err, "nothing is deployed until it is mended")
	}
	if loose := writableByOthers(file); loose != "" {
		return one(name, levelFail, loose+" can be written by others", "whoever can write to it allows himself everything: chmod go-w "+loose)
	}
	return one(name, levelOK, file, "")
}

// writableByOthers is the file or its directory, whichever others than its owner
// may write to; "" if neither.
func writableByOthers(file string) string {
	for _, path := range []string{file, filepath.Dir(file)} {
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return path
		}
	}
	return ""
}

func (d *doctor) envDirCheck(context.Context) []finding {
	const name = "env_dir"
	dir := d.config.EnvDir
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return failed(name, err, "make the directory, or set env_dir to the right one")
	}
	if loose := writableByOthers(filepath.Join(dir, "x")); loose != "" {
		return one(name, levelFail, loose+" can be written by others", "chmod go-w "+loose)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".env") && info.Mode().Perm()&0o004 != 0 {
			return one(name, levelWarn, filepath.Join(dir, e.Name())+" can be read by everybody", "it is for what must not be in Git: chmod 600")
		}
	}
	return one(name, levelOK, fmt.Sprintf("%s, %d files", dir, len(entries)), "")
}

// credentialsCheck looks at every file that holds a secret.
func (d *doctor) credentialsCheck(context.Context) []finding {
	const name = "credentials"
	files := []string{d.config.AgeKeyFile}
	for _, s := range d.config.followed() {
		files = append(files, s.TokenFile, s.PasswordFile, s.SSHKeyFile, s.SSHPassphraseFile)
	}
	for _, w := range d.config.Webhooks {
		files = append(files, w.SecretFile)
	}
	var found []finding
	slices.Sort(files)
	files = slices.DeleteFunc(slices.Compact(files), func(f string) bool { return f == "" })
	for _, file := range files {
		info, err := os.Stat(file)
		switch {
		case err != nil:
			found = append(found, failed(name, err, "make the file, or name the right one")...)
		case info.Mode().Perm()&0o077 != 0:
			found = append(found, finding{name, levelWarn, fmt.Sprintf("%s can be used by others: %s", file, info.Mode().Perm()), "chmod 600 " + file})
		}
	}
	if len(found) == 0 && len(files) > 0 {
		return one(name, levelOK, fmt.Sprintf("%d files", len(files)), "")
	}
	return found
}

// loginsCheck reads Docker's configuration and looks for its helpers.
func (d *doctor) loginsCheck(context.Context) []finding {
	const name = "registry logins"
	file := filepath.Join(d.config.DockerConfig, "config.json")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return one(name, levelOK, "none in "+d.config.DockerConfig, "")
	}
	if err != nil {
		return failed(name, err, "")
	}
	var config struct {
		Auths       map[string]json.RawMessage `json:"auths"`
		CredsStore  string                     `json:"credsStore"`
		CredHelpers map[string]string          `json:"credHelpers"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return failed(name, fmt.Errorf("read %s: %w", file, err), "docker login writes it anew")
	}
	helpers := []string{config.CredsStore}
	for _, h := range config.CredHelpers {
		helpers = append(helpers, h)
	}
	slices.Sort(helpers)
	for _, h := range slices.Compact(helpers) {
		if h == "" {
			continue
		}
		if _, err := exec.LookPath("docker-credential-" + h); err != nil {
			return one(name, levelFail, fmt.Sprintf("%s wants the helper docker-credential-%s, which is not in davit's PATH", file, h), "install it, or take it out of the file and log in again")
		}
	}
	return one(name, levelOK, fmt.Sprintf("%s, %d registries", file, len(config.Auths)+len(config.CredHelpers)), "")
}

// firewallCheck says what is commonly taken for protection and is none.
func (d *doctor) firewallCheck(context.Context) []finding {
	const name = "firewall"
	var found []finding
	if text, err := os.ReadFile(filepath.Join(d.root, "etc/ufw/ufw.conf")); err == nil && bytes.Contains(text, []byte("ENABLED=yes")) {
		found = append(found, finding{name, levelWarn, "ufw is on, and ports that Docker publishes go past it",
			"publish on 127.0.0.1, or filter in the iptables chain DOCKER-USER"})
	}
	if text, err := os.ReadFile(filepath.Join(d.root, "etc/docker/daemon.json")); err == nil {
		var daemon struct {
			IPTables *bool `json:"iptables"`
		}
		if json.Unmarshal(text, &daemon) == nil && daemon.IPTables != nil && !*daemon.IPTables {
			found = append(found, finding{name, levelWarn, "Docker makes no iptables rules: /etc/docker/daemon.json says so",
				"published ports and the way out of containers need rules of your own"})
		}
	}
	if text, err := os.ReadFile(filepath.Join(d.root, "proc/sys/net/ipv4/ip_forward")); err == nil && strings.TrimSpace(string(text)) == "0" {
		found = append(found, finding{name, levelWarn, "the kernel forwards no packets: net.ipv4.ip_forward is 0",
			"containers reach nothing outside: sysctl -w net.ipv4.ip_forward=1"})
	}
	if len(found) == 0 {
		return one(name, levelOK, "nothing that stands out; filter published ports in the chain DOCKER-USER", "")
	}
	return found
}
