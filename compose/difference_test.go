package compose

import (
	"strings"
	"testing"
)

func TestDifferencesNameWhatChangedAndNoValues(t *testing.T) {
	base := "services:\n  web:\n    image: app:1\n"
	for _, c := range []struct {
		name, before, after, want string
	}{
		{"nothing", "", "", ""},
		{"the image is somebody else's to tell", "", "    labels: {}\n", ""},
		{"a variable", "    environment: {A: secret1}\n", "    environment: {A: secret2}\n", "environment A changed"},
		{"a variable without a value", "    environment: {A: \"\"}\n", "    environment: [A]\n", "environment A changed"},
		{"variables come and go", "    environment: {A: x}\n", "    environment: {B: x}\n", "environment A removed; environment B added"},
		{"a command", "    command: [a]\n", "    command: [a, --password=x]\n", "command changed"},
		{"an entrypoint comes", "", "    entrypoint: [a]\n", "entrypoint added"},
		{"a memory limit", "    mem_limit: 256m\n", "    mem_limit: 1g\n", "memory limit 256MiB -> 1GiB"},
		{"a memory limit of deploy", "    deploy: {resources: {limits: {memory: 256m}}}\n", "    deploy: {resources: {limits: {memory: 512m}}}\n", "memory limit 256MiB -> 512MiB"},
		{"a limit comes", "", "    mem_limit: 1000\n", "memory limit none -> 1000B"},
		{"CPUs", "    cpus: 0.5\n", "    deploy: {resources: {limits: {cpus: '2'}}}\n", "cpus 0.5 -> 2"},
		{"ports", "    ports: ['80:8080', '127.0.0.1:9000:9000']\n", "    ports: ['80:8080', '53:53/udp']\n", "port 127.0.0.1:9000:9000 removed; port 53:53/udp added"},
		{"a label", "    labels: {a: x, b: x}\n", "    labels: {a: y, c: x}\n", "label a changed; label b removed; label c added"},
		{"a mount's source", "    volumes: ['/srv/a:/data']\n", "    volumes: ['/srv/b:/data']\n", "mount /data: /srv/a -> /srv/b"},
		{"a mount's kind", "    volumes: ['/data']\n", "    volumes: ['/srv/b:/data']\n", "mount /data: an unnamed volume -> /srv/b"},
		{"a mount that may no longer be written", "    volumes: ['/srv/a:/data']\n", "    volumes: ['/srv/a:/data:ro']\n", "mount /data is now read-only"},
		{"mounts come and go", "    volumes: ['/srv/a:/a']\n", "    volumes: ['/srv/a:/b']\n", "mount /a removed; mount /b added"},
		{"aliases", "    networks: {default: {aliases: [a]}}\n", "    networks: {default: {aliases: [b]}}\n", "network default changed"},
		{"whatever else", "    user: '1'\n    cap_add: [A]\n", "    user: '2'\n    read_only: true\n", "cap_add removed; read_only added; user changed"},
		{"what no container is made of", "    scale: 1\n", "    scale: 2\n    deploy: {update_config: {parallelism: 2}}\n    x-davit: {monitor: 1s}\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := loaded(t, map[string]string{"compose.yaml": base + c.before}), loaded(t, map[string]string{"compose.yaml": base + c.after})
			if got := strings.Join(Differences(before, after, "web", nil), "; "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDifferencesNameFilesAndShowTheEnvironmentOnly(t *testing.T) {
	text := `
services:
  web:
    image: app:1
    environment: {LEVEL: LEVEL_HERE}
    volumes: ["./conf/nginx.conf:/etc/nginx.conf:ro", "./state:/state"]
    configs: [app]
    secrets: [password, inline]
configs: {app: {content: APP_HERE}}
secrets: {password: {file: ./password.txt}, inline: {environment: INLINE}}
`
	version := func(word string) *Project {
		return loaded(t, map[string]string{
			"compose.yaml": strings.NewReplacer("LEVEL_HERE", "level-"+word, "APP_HERE", "app-"+word).Replace(text),
			".env":         "INLINE=inline-" + word + "\n", "conf/nginx.conf": word, "state/seed": word, "password.txt": "password-" + word,
		})
	}
	got := strings.Join(Differences(version("old"), version("new"), "web", func(v string) string { return "<" + v + ">" }), "; ")
	want := `environment LEVEL changed: "<level-old>" -> "<level-new>"; file nginx.conf changed; file state changed; ` +
		"config app changed; secret inline changed; secret password changed"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Both sides may come from the record, where a project is only its rendered text.
func TestDifferencesOfAProjectThatWasStored(t *testing.T) {
	before := loaded(t, map[string]string{"compose.yaml": "services: {web: {image: a, mem_limit: 1m, volumes: ['./f:/f:ro']}}", "f": "old"})
	after := loaded(t, map[string]string{"compose.yaml": "services: {web: {image: a, mem_limit: 2m, volumes: ['./f:/f:ro']}}", "f": "new"})
	data, err := before.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if before, err = Unmarshal(data); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(Differences(before, after, "web", nil), "; "), "file f changed; memory limit 1MiB -> 2MiB"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Differences(before, before, "web", nil); len(got) > 0 {
		t.Errorf("compared with itself: %q", got)
	}
	if got := Differences(before, after, "gone", nil); got != nil {
		t.Errorf("a service that neither has: %q", got)
	}
}

func loaded(t *testing.T, files map[string]string) *Project {
	t.Helper()
	root := write(t, files)
	p, err := Load(t.Context(), find(t, root), options(root))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
