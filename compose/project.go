package compose

import (
	"github.com/compose-spec/compose-go/v2/types"
)

// Project is one stack as a revision declares it: loaded, interpolated,
// normalised and validated, with every path already pointing at the place on the
// host from which containers will mount it.
type Project struct {
	// Name is the stack's identity: `name:`, else its directory, else the
	// repository's name.
	Name string
	// Files are the compose files that made it, relative to the source's root,
	// main file first.
	Files []string
	// Main are the files that were found or listed, relative to the stack's
	// directory: the main file and its overrides, without what they include.
	Main []string
	// WorkingDir is the stack's project directory on the host. Relative binds
	// that Git does not track live below it.
	WorkingDir string
	// Origin is where Compose ran the stack before it was adopted, nil for one that
	// was not.
	Origin *Origin
	// Model is the rendered project. The engine reads services, networks,
	// volumes, configs and secrets from it and never changes it.
	Model *types.Project
	// Settings is the project's own x-davit block, defaults filled in.
	Settings Settings
	// Services are the enabled services, sorted by name.
	Services []Service
	// Hash identifies everything the stack declares, "v1:<hex>". Two revisions
	// with equal hashes deploy the same thing; see doc.go for what is masked.
	Hash string
	// Unset names the DAVIT_* variables that an image reference needs and this
	// revision cannot give. Such a stack waits; it is not an error.
	Unset []string
	// Notes are remarks for the operator that change nothing, such as an
	// x-davit key that overrides a Compose key.
	Notes []Note
	// Content lists the tracked files that containers mount, to be written by
	// Files.Write before a container that needs them is created.
	Content []Content

	// Sensitive are the values that must not be shown, such as those of secrets and
	// of variables that may hold one.
	Sensitive []string

	// rendered is Model as the JSON of a compose file: what Marshal keeps and
	// Unmarshal makes Model of.
	rendered []byte
	// parts are keyed sums of everything declared, by "services.web"; Hash is
	// made of them, so that a mixture of two projects has one too.
	parts map[string]string
	// written are the services as Compose's own hash sees them.
	written map[string]written
}

// Service is one enabled service of a Project.
type Service struct {
	Name string
	// Config is the rendered service. Config.Image is as written, after
	// interpolation.
	Config types.ServiceConfig
	// Build is how the service's image is made, nil for one that is only pulled.
	// What it is made of is not stored with a project: one that Unmarshal gave has
	// no Build.
	Build *Build
	// Settings is the service's x-davit block merged over what
	// deploy.update_config and rollback_config say, defaults filled in.
	Settings ServiceSettings
	// Hash changes exactly when a container of this service must be made anew,
	// its image apart: "v1:<hex>". Replicas, dependencies, rollout settings and
	// DAVIT_* values outside image do not count; the content of mounted,
	// tracked files does.
	Hash string
	// ConfigHash is Compose's own hash of the service as it is run in the project
	// directory, written as the com.docker.compose.config-hash label for Compose's
	// commands. A service that shares a namespace or volumes of another has it
	// completed when a container is made; see Project.ConfigHash.
	ConfigHash string
	// Replicas is scale, else deploy.replicas, else 1.
	Replicas int
	// Tier is the startup.priority label; 0 without one. A service that one of an
	// earlier tier depends on belongs to that tier, so that tiers never contradict
	// depends_on, not even round several corners.
	Tier int
	// OneShot is true when another service waits for this one's successful
	// completion.
	OneShot bool
	// Ports are its fixed host ports, in the order of the file.
	Ports []PublishedPort
	// Drain is how long a replaced container may finish what clients at the edge have
	// begun.
	Drain Drain
	// DependsOn are the enabled services that this one depends on, by name. See
	// Project.Prerequisites for tiers.
	DependsOn []Dependency
}

// Content is a tracked file or directory that containers mount from a place
// named by what it contains (read-only) or from the stack's stable directory
// (writable).
type Content struct {
	// From is the file or directory in the exported revision.
	From string
	// To is its place on the host.
	To string
	// Copy is where this very content is kept for good, so that it can be brought
	// back when From is gone. Content that is not writable is mounted from there.
	Copy string
	// Digest is the sha256, in hex, of its content and modes.
	Digest string
	// Writable content is updated file by file at To; other content is
	// immutable once To exists.
	Writable bool
	// Sealed content is encrypted in the revision and at Copy, and decrypted at To,
	// in memory.
	Sealed bool `json:",omitempty"`
}

// At reports whether the file or directory at path, on this host, is this content.
// It is an error when nothing can be seen there, as from within a container.
func (c Content) At(path string) (bool, error) {
	sum, err := digest(path, anywhere)
	return sum == c.Digest, err
}

// Note is a remark about a compose file that needs no action.
type Note struct {
	File, Key, Text string
}

// Service returns the service called name.
func (p *Project) Service(name string) (Service, bool) {
	for _, s := range p.Services {
		if s.Name == name {
			return s, true
		}
	}
	return Service{}, false
}
