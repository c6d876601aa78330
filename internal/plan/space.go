package plan

// Space names the network namespace that a step changes.
type Space struct {
	kind spaceKind
	name string
}

type spaceKind int

const (
	onHost spaceKind = iota
	inNetwork
	inContainer
)

// Host is the namespace of the host.
var Host = Space{kind: onHost}

// InNetwork is the namespace of a network, by its name.
func InNetwork(name string) Space { return Space{inNetwork, name} }

// InContainer is the namespace of a container, by its path.
func InContainer(path string) Space { return Space{inContainer, path} }

// Network is the name of a network's namespace; ok is false for any other.
func (s Space) Network() (name string, ok bool) { return s.name, s.kind == inNetwork }

// Container is the path of a container's namespace; ok is false for any other.
func (s Space) Container() (path string, ok bool) { return s.name, s.kind == inContainer }

// String names the namespace in front of what is done in it.
func (s Space) String() string {
	switch s.kind {
	case inNetwork:
		return "namespace " + s.name
	case inContainer:
		return "container " + s.name
	}
	return "host"
}
