package percall

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// establish makes or changes a network, or puts it back in force, alone.
func (f *Front) establish(ctx context.Context, n topology.Network) error {
	var forgotten []topology.Endpoint
	err := f.alone(ctx, func(s *state) (err error) {
		forgotten, err = f.establishAlone(ctx, s, n)
		return err
	})
	for _, p := range forgotten { // without the store's lock: see Sweep
		f.onForget(p)
	}
	return err
}

// establishAlone gives the endpoints that are gone and were forgotten.
func (f *Front) establishAlone(ctx context.Context, s *state, n topology.Network) ([]topology.Endpoint, error) {
	n.Owner = f.core.Owner()
	if known, ok := s.networks[n.ID]; ok {
		// Another one that waited for the lock, too, may have made it.
		if _, ready, err := f.inForce(known.Network, n); err != nil || ready {
			return nil, err
		}
	}
	known, forgotten, err := f.living(ctx, s, n)
	if err != nil {
		return forgotten, err
	}
	return forgotten, f.establishOver(ctx, s, known, n)
}

// establishOver makes a network, or changes what is known of it.
func (f *Front) establishOver(ctx context.Context, s *state, known *network, n topology.Network) error {
	if known != nil && n.Bridge == "" {
		n.Bridge = known.Bridge
	}
	if n.Bridge == "" {
		n.Bridge = f.core.ChooseBridge(n, s.plain())
	}
	if known != nil && !sameGround(known.Network.Network, n) {
		return movedError(known.Network.Network, n, len(known.endpoints))
	}
	if err := f.core.Conflicts(n, s.plain()); err != nil {
		return err
	}
	if known == nil {
		return f.createNetwork(ctx, n)
	}
	return f.changeNetwork(ctx, s, known, n)
}

// living is what is known of a network that has living endpoints. Those that are gone are forgotten, and the network
// with the last of them: it is made anew, as it is wanted now.
func (f *Front) living(ctx context.Context, s *state, n topology.Network) (known *network,
	forgotten []topology.Endpoint, err error) {
	known, exists := s.networks[n.ID]
	if !exists {
		return nil, nil, nil
	}
	if known.Legacy {
		return known, nil, nil // its wires are on the host until it is put in force
	}
	forgotten, err = f.forgetLost(ctx, known, nil)
	if err != nil || len(known.endpoints) > 0 {
		return known, forgotten, err
	}
	delete(s.networks, n.ID)
	return nil, forgotten, f.forgetNetwork(ctx, known.Network.Network)
}

func (f *Front) createNetwork(ctx context.Context, n topology.Network) error {
	if err := f.store.PutNetwork(n); err != nil {
		return err
	}
	if err := f.putInForce(ctx, plan.Network{Network: n}); err != nil {
		return errors.Join(err, f.forgetNetwork(context.WithoutCancel(ctx), n))
	}
	f.log.Info("network ready", "network", n.DisplayName(), "namespace", n.Namespace(), "subnet", n.Subnet)
	return nil
}

// putInForce makes the kernel what a network should be, whatever rules it holds.
func (f *Front) putInForce(ctx context.Context, n plan.Network) error {
	host, err := f.core.ObserveHost()
	if err == nil {
		_, err = f.core.Renew(ctx, n, host)
	}
	if err == nil {
		_, err = f.core.EnsureIPTables(ctx, n.Network)
	}
	if err != nil {
		return fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	f.core.OpenFirewalld(ctx, n.Network) // an uplink that is gone leaves its zone
	return nil
}

// changeNetwork gives a network another policy, or repairs it. Until all of it is in force the document says so: an
// attachment looks at the network's own rules alone, and takes them for the whole when a process was killed before it
// had put the endpoints back.
func (f *Front) changeNetwork(ctx context.Context, s *state, known *network, n topology.Network) error {
	if err := f.store.PutPending(n); err != nil {
		return err
	}
	if !sameNetwork(known.Network.Network, n) {
		if known.Policy.Firewall != n.Policy.Firewall {
			if err := f.core.Apply(ctx, plan.Step{In: plan.Host,
				Action: plan.RemoveIPTables{Uplink: known.Uplink()}}); err != nil {
				return err
			}
		}
		f.log.Info("network changed", "network", n.DisplayName())
	}
	known.Network.Network = n
	if err := f.putInForce(ctx, s.plan(known)); err != nil {
		return err
	}
	return f.store.PutNetwork(n)
}

// forgetNetwork removes what a network has in the kernel, then its document: a failure leaves the document.
func (f *Front) forgetNetwork(ctx context.Context, n topology.Network) error {
	if err := f.core.Remove(ctx, n); err != nil {
		return fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	if err := f.store.DeleteNetwork(n.ID); err != nil {
		return err
	}
	f.log.Info("network removed", "network", n.DisplayName(), "namespace", n.Namespace())
	return nil
}

// sameNetwork compares what a user can configure.
func sameNetwork(a, b topology.Network) bool {
	a.Name, a.IPRange = b.Name, b.IPRange
	return reflect.DeepEqual(a, b)
}

// sameGround compares what cannot change under living endpoints.
func sameGround(a, b topology.Network) bool {
	return a.Bridge == b.Bridge && a.Subnet == b.Subnet && a.BridgeAddr == b.BridgeAddr && a.Chained == b.Chained &&
		a.Policy.MTU == b.Policy.MTU
}

// ErrMoved says that a network's configuration now names another bridge or subnet than its living endpoints have.
var ErrMoved = errors.New("stop these containers first, or give the new network another name")

func movedError(have, want topology.Network, endpoints int) error {
	return fmt.Errorf("network %s: %d containers run on bridge %s, subnet %s, bridge address %s, mtu %d; the configuration now says bridge %s, subnet %s, bridge address %s, mtu %d: %w",
		have.DisplayName(), endpoints, have.Bridge, have.Subnet, have.BridgeAddr, have.Policy.MTU, want.Bridge, want.Subnet,
		want.BridgeAddr, want.Policy.MTU, ErrMoved)
}
