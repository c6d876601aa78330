package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// A shared engine works on a store that other processes work on too. CNI and netavark start a process for each attachment,
// many at once, and nothing needs to run beside them; a resident engine over the same store repairs what goes missing.
//
// Documents are the truth, and the store's lock orders who changes them. Attachments change objects of their own only and
// hold it together; whoever makes, changes or removes a network holds it alone.

// within runs f with the network in force, beside other attachments. Who finds that the network is not in force, because
// it is the first, the policy changed or rules are gone, makes it so.
func (e *Engine) within(ctx context.Context, n topology.Network, f func(topology.Network) error) error {
	const attempts = 3
	var last error
	for range attempts {
		ready, err := e.beside(ctx, n, f)
		if ready {
			if err == nil || !errors.Is(err, unix.ENOENT) {
				return err
			}
			last = err // rules went missing since they were looked at
		} else if err != nil {
			return err
		}
		if err := e.establish(ctx, n); err != nil {
			return err
		}
	}
	if last == nil {
		return fmt.Errorf("network %s: somebody else gives it another configuration, again and again: is there a second one of this name?", n.DisplayName())
	}
	return fmt.Errorf("network %s: its rules go missing again and again: %w", n.DisplayName(), last)
}

// beside runs f under the shared lock if the network is in force.
func (e *Engine) beside(ctx context.Context, n topology.Network, f func(topology.Network) error) (ready bool, err error) {
	unlock, err := e.store.RLock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	known, err := e.store.Network(n.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n, ready, err = e.inForce(known.Network, known.Pending, n)
	if err != nil || !ready {
		return false, err
	}
	return true, f(n)
}

// inForce tells whether a network that is known is the one that is wanted, and whole in the kernel. It gives the one that is
// wanted with what mcpnet chose for it.
func (e *Engine) inForce(known topology.Network, pending bool, n topology.Network) (topology.Network, bool, error) {
	if n.Bridge == "" {
		n.Bridge = known.Bridge
	}
	n.Owner = e.owner
	if pending || !sameNetwork(known, n) {
		return n, false, nil
	}
	steps, err := e.missing(n)
	return n, err == nil && len(steps) == 0, err
}

// missing gives the steps that would put a network in force, without its endpoints and iptables. It looks at the network's
// own objects only.
func (e *Engine) missing(n topology.Network) ([]plan.Step, error) {
	rules := firewall.CompileNetwork(n, e.features)
	wires := firewall.CompileWires()
	state, err := e.nft.ObserveOnly(rules, wires)
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	o := plan.Observed{Links: map[string]plan.Link{}, Chains: state.Chains, Elements: state.Elements}
	found, err := e.links.Find(n.Bridge)
	if err == nil {
		addrs, err := e.links.AddrsOf(n.Bridge)
		if err != nil {
			return nil, err
		}
		o.Links[n.Bridge] = plan.Link{Name: found.Name, Up: found.Up, MAC: found.MAC.String(), Addrs: addrs}
	} else if !errors.Is(err, link.ErrNotFound) {
		return nil, err
	}
	return plan.Diff(plan.Desired{Owner: e.owner, Features: e.features, Networks: []plan.Network{{Network: n}}}, o), nil
}

// establish makes or changes a network, or puts it back in force, alone.
func (e *Engine) establish(ctx context.Context, n topology.Network) error {
	return e.locked(ctx, func() error {
		n.Owner = e.owner
		if known, ok := e.networks[n.ID]; ok {
			// Another one that waited for the lock, too, may have made it.
			if _, ready, err := e.inForce(known.Network, known.pending, n); err != nil || ready {
				return err
			}
		}
		known, err := e.survivor(ctx, n)
		if err != nil {
			return err
		}
		if known != nil && n.Bridge == "" {
			n.Bridge = known.Bridge
		}
		if n.Bridge == "" {
			n.Bridge = e.chooseBridge(n)
		}
		if known != nil && !sameGround(known.Network, n) {
			return movedError(known.Network, n, len(known.endpoints))
		}
		if err := e.conflicts(n); err != nil {
			return err
		}
		if !n.Policy.Egress.Off() {
			if err := e.links.EnableForwarding(); err != nil {
				return fmt.Errorf("network %s: let the host forward packets (net.ipv4.ip_forward), which the gateway's egress needs: %w", n.DisplayName(), err)
			}
		}
		if known == nil {
			return e.createNetwork(ctx, n)
		}
		return e.changeNetwork(ctx, known, n)
	})
}

// survivor is what is known of a network that has living endpoints. Those that are gone are forgotten, and the network with
// the last of them: it is made anew, as it is wanted now.
func (e *Engine) survivor(ctx context.Context, n topology.Network) (*network, error) {
	known, exists := e.networks[n.ID]
	if !exists {
		return nil, nil
	}
	observed, err := e.observe()
	if err != nil {
		return nil, err
	}
	for _, p := range known.endpoints {
		if _, lives := observed.Links[p.Wire()]; lives {
			continue
		}
		e.log.Info("endpoint forgotten: its wire is gone", "network", known.DisplayName(), "container", p.Container, "address", p.IP)
		if err := e.removeEndpoint(ctx, known, p); err != nil {
			return nil, err
		}
		e.onForget(p.Endpoint)
	}
	if len(known.endpoints) > 0 {
		return known, nil
	}
	if bridge := observed.Links[known.Bridge]; known.Adopted || (bridge.Owner == e.owner && bridge.ID == known.ID) {
		return nil, e.forgetNetwork(ctx, known.Network)
	}
	delete(e.networks, known.ID) // whoever has this bridge now keeps it, and its rules
	return nil, e.store.DeleteNetwork(known.ID)
}

// changeNetwork gives a network another policy. Until the rules are loaded the document says so.
func (e *Engine) changeNetwork(ctx context.Context, known *network, n topology.Network) error {
	if !sameNetwork(known.Network, n) {
		if err := e.store.PutPending(n); err != nil {
			return err
		}
		if known.Policy.Firewall != n.Policy.Firewall {
			if err := e.apply(ctx, []plan.Step{plan.RemoveIPTables{Bridge: known.Bridge}}); err != nil {
				return err
			}
		}
		known.Network, known.pending = n, true
		e.log.Info("network changed", "network", n.DisplayName())
	}
	if _, err := e.reconcile(ctx); err != nil {
		return fmt.Errorf("network %s: %w", n.DisplayName(), err)
	}
	return nil
}

// sameGround compares what cannot change under living endpoints.
func sameGround(a, b topology.Network) bool {
	return a.Bridge == b.Bridge && a.Subnet == b.Subnet && a.BridgeAddr == b.BridgeAddr && a.Adopted == b.Adopted && a.Policy.MTU == b.Policy.MTU
}

// ErrMoved says that a network's configuration now names another bridge or subnet than its living endpoints have.
var ErrMoved = errors.New("stop these containers first, or give the new network another name")

func movedError(have, want topology.Network, endpoints int) error {
	return fmt.Errorf("network %s: %d containers run on bridge %s, subnet %s, bridge address %s, mtu %d; the configuration now says bridge %s, subnet %s, bridge address %s, mtu %d: %w",
		have.DisplayName(), endpoints, have.Bridge, have.Subnet, have.BridgeAddr, have.Policy.MTU, want.Bridge, want.Subnet, want.BridgeAddr, want.Policy.MTU, ErrMoved)
}

// knownFeatures finds out what the kernel offers, once for each boot: it takes two runs of the nft command.
func (e *Engine) knownFeatures(ctx context.Context) (err error) {
	const fact = "features"
	boot := bootID()
	if boot != "" {
		switch e.store.Fact(fact) {
		case boot + " reset=true":
			e.features = firewall.Features{Reset: true}
			return nil
		case boot + " reset=false":
			e.noteFeatures()
			return nil
		}
	}
	if e.features, err = e.nft.Features(ctx); err != nil {
		return err
	}
	e.noteFeatures()
	return e.store.PutFact(fact, boot+" reset="+strconv.FormatBool(e.features.Reset))
}

// Usable reports why nothing could be attached now, if so: CNI's STATUS.
func (e *Engine) Usable(ctx context.Context) error {
	_, err := e.nft.Features(ctx)
	return err
}

// ensureIPTables sees to what only a gateway's egress needs of the host, beyond what every attachment looks at.
func (e *Engine) ensureIPTables(ctx context.Context, n topology.Network) error {
	if n.Policy.Firewall == policy.FirewallNFTables {
		return nil
	}
	e.networks[n.ID] = &network{Network: n, endpoints: map[string]*endpoint{}}
	if complete := e.observeIPTables(); complete == nil || complete[n.Bridge] {
		return nil
	}
	return e.apply(ctx, []plan.Step{plan.EnsureIPTables{Network: n, Rules: firewall.CompileNetwork(n, e.features)}})
}

// stored reads an endpoint's document; ok is false where there is none.
func (e *Engine) stored(networkID, id string) (store.Endpoint, bool, error) {
	p, err := e.store.Endpoint(networkID, id)
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	return p, err == nil, err
}
