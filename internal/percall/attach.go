package percall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Attach attaches a container to a network in one go, and makes the network with its first endpoint. On any error
// nothing of the endpoint is left, nor of a network that was made for it.
func (f *Front) Attach(ctx context.Context, n topology.Network, a plan.Attachment) (topology.Network,
	topology.Endpoint, error) {
	err := f.within(ctx, n, func(ready topology.Network) (err error) {
		n = ready
		a.NetworkID, a.Owner = n.ID, f.core.Owner()
		if a.NetNS, err = ns.Inode(a.Sandbox); err != nil {
			return err
		}
		if a.MAC == nil {
			a.MAC = topology.MACFor(n.ID, a.IP)
		}
		return f.attachOne(ctx, n, a)
	})
	if err != nil {
		err = errors.Join(err, f.removeUnused(context.WithoutCancel(ctx), n.ID)) // made for this endpoint alone
	}
	return n, a.Endpoint, err
}

// within runs do with the network in force, beside other attachments. Who finds that the network is not in force,
// because it is the first, the policy changed or rules are gone, makes it so.
func (f *Front) within(ctx context.Context, n topology.Network, do func(topology.Network) error) error {
	const attempts = 3
	var last error
	for range attempts {
		ready, err := f.beside(ctx, n, do)
		if ready {
			if err == nil || !errors.Is(err, unix.ENOENT) {
				return err
			}
			last = err // rules went missing since they were looked at
		} else if err != nil {
			return err
		}
		if err := f.establish(ctx, n); err != nil {
			return err
		}
	}
	if last == nil {
		return fmt.Errorf("network %s: another configuration of this name replaces it again and again", n.DisplayName())
	}
	return fmt.Errorf("network %s: its rules go missing again and again: %w", n.DisplayName(), last)
}

// beside runs do under the shared lock if the network is in force.
func (f *Front) beside(ctx context.Context, n topology.Network, do func(topology.Network) error) (ready bool,
	err error) {
	unlock, err := f.store.RLock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	known, err := f.store.Network(n.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n, ready, err = f.inForce(known, n)
	if err != nil || !ready {
		return false, err
	}
	return true, do(n)
}

// inForce tells whether a network that is known is the one that is wanted, and whole in the kernel. It gives the one
// that is wanted with what mcpnet chose for it.
func (f *Front) inForce(known store.Network, n topology.Network) (topology.Network, bool, error) {
	if n.Bridge == "" {
		n.Bridge = known.Bridge
	}
	n.Owner = f.core.Owner()
	if known.Pending || known.Legacy || !sameNetwork(known.Network, n) {
		return n, false, nil
	}
	steps, err := f.core.Missing(n)
	if errors.Is(err, core.ErrForeign) {
		return n, false, nil // another's namespace has its name: it is made anew, or the conflict is told
	}
	return n, err == nil && len(steps) == 0, err
}

func (f *Front) attachOne(ctx context.Context, n topology.Network, a plan.Attachment) error {
	if err := errors.Join(n.Placed(a.Endpoint), f.checkResident(n, a.Endpoint)); err != nil {
		return err
	}
	done, alone, err := f.store.Attaching(n.ID, a.ID)
	if err != nil {
		return err
	}
	if !alone {
		return fmt.Errorf("network %s: container %s is being attached by another call: %w", n.DisplayName(),
			short(a.Container), ErrAttached)
	}
	defer done()
	if err := f.reserve(ctx, n, a.Endpoint); err != nil {
		return err
	}
	if a.Role == topology.RoleGateway {
		if err := f.ensureUplink(ctx, n); err != nil {
			return fmt.Errorf("network %s: gateway's egress: %w", n.DisplayName(), err)
		}
	}
	if err := f.store.PutEndpoint(a.Endpoint, true); err != nil {
		return err
	}
	if err := f.core.Apply(ctx, plan.Attach(n, a, f.core.Features())...); err != nil {
		err = fmt.Errorf("network %s: container %s (%s): %w", n.DisplayName(), short(a.Container), a.IP, err)
		return errors.Join(err, f.dropEndpoint(context.WithoutCancel(ctx), n, a.Endpoint))
	}
	return nil
}

// ensureUplink sees to what only a gateway needs of the host, and no other attachment looks at. The host's addresses,
// which its egress must not reach, are read again.
func (f *Front) ensureUplink(ctx context.Context, n topology.Network) error {
	if !n.HasUplink() {
		return nil
	}
	host, err := f.core.ObserveHost()
	if err != nil {
		return err
	}
	o, err := f.core.Observe(n, host)
	if err != nil {
		return err
	}
	if err := f.core.Apply(ctx, plan.Uplink(n, o)...); err != nil {
		return err
	}
	f.core.OpenFirewalld(ctx, n)
	_, err = f.core.EnsureIPTables(ctx, n)
	return err
}

// reserve sees to it that neither the attachment nor its address is anybody's, and takes the address. What a container
// left that ended without a word is removed.
func (f *Front) reserve(ctx context.Context, n topology.Network, p topology.Endpoint) error {
	if old, ok, err := f.stored(n.ID, p.ID); err != nil {
		return err
	} else if ok {
		if err := f.removeLost(ctx, n, old.Endpoint); err != nil {
			return fmt.Errorf("network %s: container %s is attached with address %s: %w", n.DisplayName(), short(p.Container),
				old.IP, err)
		}
	}
	holder, err := f.store.Claim(n.ID, p.IP, p.ID)
	if err != nil || holder == "" {
		return err
	}
	old, ok, err := f.stored(n.ID, holder)
	if err != nil {
		return err
	}
	if ok {
		if err := f.removeLost(ctx, n, old.Endpoint); err != nil {
			return fmt.Errorf("network %s: address %s belongs to container %s, which runs; IPAM has given it away again: %w",
				n.DisplayName(), p.IP, old.Container, err)
		}
	}
	if err := f.store.Unclaim(n.ID, p.IP, holder); err != nil {
		return err
	}
	holder, err = f.store.Claim(n.ID, p.IP, p.ID)
	if err == nil && holder != "" {
		err = fmt.Errorf("network %s: address %s was taken at the same time", n.DisplayName(), p.IP)
	}
	return err
}

// removeLost removes an endpoint whose wire is gone, or gives ErrAttached.
func (f *Front) removeLost(ctx context.Context, n topology.Network, p topology.Endpoint) error {
	_, lives, err := f.core.HasWire(n, p)
	if err != nil {
		return err
	}
	if lives {
		return ErrAttached
	}
	return f.dropEndpoint(ctx, n, p)
}

// dropEndpoint removes what an endpoint has in the kernel, then its address and its document.
func (f *Front) dropEndpoint(ctx context.Context, n topology.Network, p topology.Endpoint) error {
	if err := f.core.RemoveEndpoint(ctx, n, p); err != nil {
		return err
	}
	return errors.Join(f.store.Unclaim(n.ID, p.IP, p.ID), f.store.DeleteEndpoint(n.ID, p.ID))
}

// stored reads an endpoint's document; ok is false where there is none.
func (f *Front) stored(networkID, id string) (store.Endpoint, bool, error) {
	p, err := f.store.Endpoint(networkID, id)
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	return p, err == nil, err
}

// Attached reports whether an attachment is there, with its wire.
func (f *Front) Attached(networkID, id string) (bool, error) {
	p, ok, err := f.stored(networkID, id)
	if err != nil || !ok {
		return false, err
	}
	n, err := f.store.Network(networkID)
	if err != nil {
		return false, err
	}
	_, lives, err := f.core.HasWire(n.Network, p.Endpoint)
	return lives, err
}

// Detach takes a container off a network, and the network away with its last endpoint. What is not there is no error.
// It gives the endpoint that was detached; ok is false where none was known.
func (f *Front) Detach(ctx context.Context, networkID, id string) (p topology.Endpoint, ok bool, err error) {
	if err := f.moveLegacy(ctx, networkID); err != nil {
		return p, false, err
	}
	if p, ok, err = f.detachOne(ctx, networkID, id); err != nil {
		return p, ok, err
	}
	return p, ok, f.removeUnused(ctx, networkID)
}

// moveLegacy puts a network in force that an earlier mcpnet made: what it has on the host moves into its namespace, or
// goes.
func (f *Front) moveLegacy(ctx context.Context, networkID string) error {
	if n, err := f.store.Network(networkID); err != nil || !n.Legacy {
		return nil // whoever reads it again tells of the error
	}
	return f.alone(ctx, func(s *state) error {
		n, known := s.networks[networkID]
		if !known || !n.Legacy {
			return nil
		}
		host, err := f.core.ObserveHost()
		if err != nil {
			return err
		}
		_, err = f.repair(ctx, s, n, host)
		return err
	})
}

func (f *Front) detachOne(ctx context.Context, networkID, id string) (p topology.Endpoint, ok bool, err error) {
	unlock, err := f.store.RLock(ctx)
	if err != nil {
		return p, false, err
	}
	defer unlock()
	n, err := f.store.Network(networkID)
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, f.store.DeleteEndpoint(networkID, id) // its namespace is gone, and all that was in it
	}
	if err != nil {
		return p, false, err
	}
	old, ok, err := f.stored(networkID, id)
	if err != nil {
		f.log.Warn("endpoint's document", "error", err) // the rest goes by its name
	}
	if !ok {
		p = topology.Endpoint{ID: id, NetworkID: networkID, Owner: f.core.Owner()}
		return p, false, errors.Join(f.core.RemoveWire(ctx, n.Network, p), f.store.Release(networkID, id), f.store.DeleteEndpoint(networkID, id))
	}
	return old.Endpoint, true, f.dropEndpoint(ctx, n.Network, old.Endpoint)
}

// removalTime is how long a call waits to remove a network that nobody uses.
const removalTime = 5 * time.Second

// removeUnused removes a network without endpoints. It waits for those who only look.
func (f *Front) removeUnused(ctx context.Context, networkID string) error {
	used, err := f.store.HasEndpoints(networkID)
	if err != nil || used {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, removalTime)
	defer cancel()
	unlock, err := f.store.Lock(waiting)
	if IsBusy(err) {
		f.log.Warn("a network without endpoints stays until somebody attaches or detaches again", "network", networkID, "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	if used, err = f.store.HasEndpoints(networkID); err != nil || used {
		return err
	}
	n, err := f.store.Network(networkID)
	if errors.Is(err, fs.ErrNotExist) {
		return f.store.DeleteNetwork(networkID) // never made, but a killed process may have left a part of its documents
	}
	if err != nil {
		return err
	}
	return f.forgetNetwork(ctx, n.Network)
}

// Check tells what of an attachment is not in force, in the kernel and in the container.
func (f *Front) Check(ctx context.Context, networkID, id, sandbox string) (problems []string, err error) {
	err = f.view(ctx, func(s *state) error {
		n, p, err := s.endpoint(networkID, id)
		if err != nil {
			return err
		}
		problems, err = f.core.Check(n.Network.Network, plan.Attachment{Endpoint: p.Endpoint, Sandbox: sandbox})
		return err
	})
	return problems, err
}

// ErrNoResident says that nobody would look at the container of an endpoint that is held.
var ErrNoResident = errors.New("mcpnet.caps.mode=enforce needs mcpnet's service, which looks at containers once they run: " +
	"install and start it (mcpnet install --service), or set mcpnet.caps.mode=audit")

// checkResident refuses an attachment that would be held for ever.
func (f *Front) checkResident(n topology.Network, p topology.Endpoint) error {
	if !n.Held(p) {
		return nil
	}
	ok, err := f.store.HasResident()
	if err == nil && !ok {
		err = ErrNoResident
	}
	if err != nil {
		return fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	return nil
}
