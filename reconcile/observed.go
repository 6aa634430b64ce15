package reconcile

import "time"

// Observed is one snapshot of what the engine runs, taken whole before planning
// so that planning makes no further call. Slices are sorted by name, then ID.
type Observed struct {
	// At is when the snapshot was taken, by the agent's clock.
	At         time.Time
	Containers []Container
	Networks   []Network
	// Volumes are the named volumes that the containers mount.
	Volumes []Volume
	// Apart is why this host reaches no container of the engine, whatever network it is in;
	// "" where it can.
	Apart string
	// Edge is what the edge serves; nil where there is none.
	Edge *EdgeTable
	// Answering is since when the engine has answered every time it was looked at.
	Answering time.Time
}

// Container is a container that carries Compose's project label. Everything is
// parsed from labels and state at the edge.
type Container struct {
	ID, Name string
	// Stack, Service and Number come from Compose's labels.
	Stack, Service string
	Number         int
	// OneOff is a container of `docker compose run`, or of a hook; it is no replica.
	OneOff bool
	// Hook is the hook of a release that the container was made for; zero for any other.
	Hook HookMark

	// Instance is the davit that made it, or has adopted it; "" for anything else.
	Instance string
	// Foreign is true for what somebody else put into a stack of this davit.
	Foreign bool
	// Release is the sequence number of the attempt that created it.
	Release int64
	// Spec is the Service.Hash it was made from.
	Spec string
	// Version is the semantic version of the release that created it.
	Version string

	// ImageRef is the reference it was created with, ImageID what that meant.
	ImageRef, ImageID string

	State     ContainerState
	Health    Health
	ExitCode  int
	OOMKilled bool
	Restarts  int
	Created   time.Time
	Started   time.Time
	Finished  time.Time
	// Process is the number of its first process on the engine's host; 0 while it does not
	// run.
	Process int
	// Restart is the restart policy in Compose's words: "no", "always",
	// "unless-stopped", "on-failure" or "on-failure:3".
	Restart string
	// Grace is how long it is given to end between the signal that asks for it and a kill;
	// negative for ever.
	Grace time.Duration
	// Limits are those that it has now.
	Limits Limits
	// Endpoints are its networks, by engine name.
	Endpoints map[string]Endpoint
	// Volumes are the names of the volumes it mounts, anonymous ones included, by
	// their path in the container.
	Volumes map[string]string
	// Mounts are all its mounts, sorted by path; those of volumes included.
	Mounts []Mount
	// Borrows are the IDs of the containers whose namespaces or volumes it uses.
	Borrows []string
	// ConfigHash and WorkingDir are Compose's labels: the hash of the service it
	// was made from, and the project directory of whoever made it.
	ConfigHash, WorkingDir string
	// ConfigFiles is Compose's label with the files it was made from.
	ConfigFiles string
	// Edge are the ports of it that were left to the edge when it was made, "8080/tcp",
	// sorted; Published the host ports at which the engine has it now.
	Edge      []string
	Published []HostPort
	// StopByHand is true when it was stopped, and neither this davit nor its own
	// process ended it.
	StopByHand bool
	// StopsByHand is true while it runs though somebody else has just asked it to end.
	StopsByHand bool

	// Probed is what davit's own lasting probes say of it.
	Probed Probed
	// Crashes is how often its policy has started it again lately, and Unwell since when its
	// health check fails, zero while it does not; both as far as this davit has seen.
	Crashes int
	Unwell  time.Time
}

// Mount is something of the host, or a volume, that a container mounts.
type Mount struct {
	// Path is where the container has it.
	Path string
	Kind MountKind
	// Source is the path on the host of a bind, the name of a volume, or the
	// reference of an image; "" for tmpfs.
	Source string
	// Writable is true where the container may write.
	Writable bool
}

// MountKind is what a mount is of.
type MountKind int

const (
	MountBind MountKind = iota
	MountVolume
	MountTmpfs
	MountOther
)

func (k MountKind) String() string {
	return [...]string{"bind", "volume", "tmpfs", "other"}[k]
}

// Endpoint is a container's place in one network.
type Endpoint struct {
	NetworkID string
	Aliases   []string
	IP        string
}

// Running reports whether its process runs.
func (c Container) Running() bool { return c.State == Running || c.State == Paused }

// ContainerState is the engine's word for a container's state.
type ContainerState int

const (
	Created ContainerState = iota
	Running
	Paused
	Restarting
	Removing
	Exited
	Dead
)

func (s ContainerState) String() string {
	return [...]string{"created", "running", "paused", "restarting", "removing", "exited", "dead"}[s]
}

// Health is the engine's verdict on a container's health check.
type Health int

const (
	// HealthNone means that the container has no health check.
	HealthNone Health = iota
	HealthStarting
	Healthy
	Unhealthy
)

func (h Health) String() string {
	return [...]string{"none", "starting", "healthy", "unhealthy"}[h]
}

// Network is a network that carries Compose's project label, or that a stack
// names as external.
type Network struct {
	ID, Name string
	// Stack and Key come from Compose's labels; "" for an external one.
	Stack, Key string
	// Instance is the davit that made it.
	Instance string
	// ConfigHash is Compose's label: the hash of the definition that it was made
	// from; "" where nobody recorded one.
	ConfigHash string
	// Unreachable is why the host cannot reach what is in it, "" where it can.
	Unreachable string
}

// Volume is a named volume that carries Compose's project label.
type Volume struct {
	Name string
	// Stack, Key and ConfigHash come from Compose's labels.
	Stack, Key, ConfigHash string
}

// ownedBy are the containers of a stack that the davit called instance made.
func (o Observed) ownedBy(stack, instance string) []Container {
	return o.which(func(c *Container) bool { return c.Stack == stack && c.Instance == instance && !c.OneOff })
}

// hooksOf are the containers of the hooks of a stack's releases.
func (o Observed) hooksOf(stack, instance string) []Container {
	return o.which(func(c *Container) bool {
		return c.Stack == stack && c.Instance == instance && c.OneOff && c.Hook.Phase.OfRelease()
	})
}

// notOwnedBy are the containers of a stack that somebody else made.
func (o Observed) notOwnedBy(stack, instance string) []Container {
	return o.which(func(c *Container) bool { return c.Stack == stack && c.Instance != instance && !c.OneOff })
}

// which are the containers that are meant. A pass asks this of every stack, a host has
// hundreds of containers, and they are large: none is copied but those.
func (o Observed) which(meant func(*Container) bool) []Container {
	n := 0
	for i := range o.Containers {
		if meant(&o.Containers[i]) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	out := make([]Container, 0, n)
	for i := range o.Containers {
		if c := &o.Containers[i]; meant(c) {
			out = append(out, *c)
		}
	}
	return out
}

func networksOf(o Observed, stack string) []Network {
	var out []Network
	for _, n := range o.Networks {
		if n.Stack == stack || n.Stack == "" {
			out = append(out, n)
		}
	}
	return out
}
