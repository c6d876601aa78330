package evidence

import (
	"slices"
	"time"
)

// connectedAge is how long an event counts that names a network. The engine's list shows the network by then, or it was
// never connected.
const connectedAge = 2 * time.Second

// connections are networks that the engine's events say a container was connected to, by the container.
type connections map[string]map[string]time.Time

func (c connections) add(container, network string, now time.Time) {
	if c[container] == nil {
		c[container] = map[string]time.Time{}
	}
	c[container][network] = now
}

func (c connections) remove(container, network string) {
	delete(c[container], network)
	if len(c[container]) == 0 {
		delete(c, container)
	}
}

// with are the networks that the list names, and those of events that count.
func (c connections) with(container string, listed []string, now time.Time) []string {
	all := slices.Clone(listed)
	for network, at := range c[container] {
		if now.Sub(at) >= connectedAge {
			c.remove(container, network)
		} else if !slices.Contains(all, network) {
			all = append(all, network)
		}
	}
	slices.Sort(all)
	return all
}
