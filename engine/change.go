package engine

// Change is a reason to look again. It says what the engine reported and never
// what the world is like now: that is Observe's to tell.
type Change struct {
	Kind ChangeKind
	// Stack and Service come from Compose's labels; "" where the object has none.
	Stack, Service string
	// Container is the ID of the container that the change is about, for
	// ChangeNetwork the one that joined or left; "" for other kinds.
	Container string
	// Action is the engine's word: "start", "die", "health_status: healthy".
	Action string
	// ByHand marks a stop or kill that this process did not ask for. Whether the
	// container stayed down is for Observe to tell: `docker restart` stops too.
	ByHand bool
	// Err is why the engine was lost; nil for every other kind.
	Err error
}

// ChangeKind says what a Change is about.
type ChangeKind int

const (
	// ChangeContainer: something happened to one container.
	ChangeContainer ChangeKind = iota
	// ChangeNetwork: a container joined or left a network, or a network went.
	ChangeNetwork
	// EngineLost: the event stream ended and changes may be missed from now on.
	EngineLost
	// EngineRecovered: the stream runs again; everything may have changed.
	EngineRecovered
)

func (k ChangeKind) String() string {
	return [...]string{"container", "network", "engine lost", "engine recovered"}[k]
}

// Info is what the engine says about itself.
type Info struct {
	// APIVersion is the version that was negotiated, "1.41".
	APIVersion string
	// Version is the engine's own, "20.10.24".
	Version string
}
