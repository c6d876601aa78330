package engine

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// ErrRemoved says that a network was removed a moment ago.
var ErrRemoved = errors.New("the network was removed after the list was read that still shows it")

// removedAge is how long a list may be under way: far longer than anybody waits for one.
const removedAge = time.Minute

// RebuildNetwork makes a network that the container engine's list shows and the store lacks. The list may be older than a
// removal, which is ErrRemoved then: what came back would hold the subnet of the network that is made next.
func (e *Engine) RebuildNetwork(ctx context.Context, n topology.Network) error {
	return e.locked(ctx, func() error {
		if at, ok := e.removed[n.ID]; ok && time.Since(at) < removedAge {
			return ErrRemoved
		}
		if err := e.requestNetwork(ctx, n); err != nil {
			return err
		}
		e.log.Info("network rebuilt from the engine's list", "network", n.DisplayName())
		return nil
	})
}

func (e *Engine) noteRemoved(id string) {
	maps.DeleteFunc(e.removed, func(_ string, at time.Time) bool { return time.Since(at) >= removedAge })
	e.removed[id] = time.Now()
}
