package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

// What is decrypted lives in memory, and a host that was started anew has an empty
// one: its engine comes up first and finds nothing to mount.
func TestDecryptedSecretsAreThereAgainAfterAReboot(t *testing.T) {
	t.Parallel()
	i := newIsland(t, "reboot")
	identity, memory := newIdentity(t), memoryDir(t)
	key := filepath.Join(i.bed.Dir, "age.key")
	if err := os.WriteFile(key, []byte(identity.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	i.agent.Args = append(i.agent.Args, "--age-key-file", key, "--secrets-dir", memory)
	image := i.bed.Load("web:1.0", testbed.App{Version: "1.0", Env: map[string]string{"TELL": "/run/secrets/db"}})
	i.repo.Write(map[string]string{"db.age": seal(t, identity.Recipient(), "precious")})
	commit := i.send(fmt.Sprintf("name: %s\nservices:\n  web:\n    image: %s\n    pull_policy: never\n    restart: always\n    secrets: [db]\n    %s\nsecrets: {db: {file: ./db.age}}\n",
		i.stack.Name, image.Ref, brief))
	i.agent.Start()
	i.deployed(commit)
	before := i.stack.Only("web")

	i.agent.Stop()
	i.engine.Stop()
	found, err := filepath.Glob(filepath.Join(memory, "*", "*", "db"))
	if err != nil || len(found) != 1 {
		t.Fatalf("decrypted files: %v, %v", found, err)
	}
	instance := filepath.Dir(filepath.Dir(found[0]))
	if err := os.RemoveAll(instance); err != nil {
		t.Fatal(err)
	}
	i.engine.Start()
	i.agent.Start()
	i.ready("web", 1)
	if now := i.stack.Only("web"); now.ID != before.ID {
		t.Errorf("%s runs in the place of %s, which could have been started", now, before)
	}
	logs, err := i.engine.Logs(t.Context(), before.ID)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(logs, "file /run/secrets/db holds precious"); n != 2 {
		t.Errorf("the secret was there at %d starts of 2:\n%s", n, logs)
	}
	if content, err := os.ReadFile(found[0]); err != nil || string(content) != "precious" {
		t.Errorf("the decrypted file is %q, %v", content, err)
	}
	i.deployed(commit)
}
