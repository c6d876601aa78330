// Command oldengine makes a network with the engine of commit 82bb395, whose wires, bridge and rules stand on the
// host. The tests
// build it in the tree of that commit.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// order is what is to be made.
type order struct {
	Owner           topology.Owner
	Store, NetNS    string
	ID, Subnet      string
	Router, Options string
	Endpoints       []endpoint
}

type endpoint struct {
	ID, IP, Sandbox string
	Role            topology.Role
}

func main() {
	var o order
	err := json.NewDecoder(os.Stdin).Decode(&o)
	if err == nil {
		err = o.make(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func (o order) make(ctx context.Context) error {
	options := map[string]string{}
	if err := json.Unmarshal([]byte(o.Options), &options); err != nil {
		return err
	}
	p, err := policy.Parse(options)
	if err != nil {
		return err
	}
	n := topology.Network{ID: o.ID, Name: "mcp", Bridge: p.Bridge, Subnet: netip.MustParsePrefix(o.Subnet),
		BridgeAddr: netip.MustParseAddr(o.Router), Policy: p}
	shared := o.Owner != topology.OwnerDocker
	e, err := engine.Open(ctx, engine.Config{StoreDir: o.Store, NetNS: o.NetNS, Owner: o.Owner, Shared: shared})
	if err != nil {
		return err
	}
	defer e.Close()
	if shared {
		return o.attach(ctx, e, n)
	}
	return o.create(ctx, e, n)
}

// create does what Docker's driver does; the test moves the container ends.
func (o order) create(ctx context.Context, e *engine.Engine, n topology.Network) error {
	if err := e.Start(ctx); err != nil {
		return err
	}
	if err := e.CreateNetwork(ctx, n); err != nil {
		return err
	}
	for _, p := range o.Endpoints {
		if _, err := e.CreateEndpoint(ctx, p.of(n)); err != nil {
			return err
		}
		i, err := e.Join(ctx, n.ID, p.ID)
		if err != nil {
			return err
		}
		fmt.Println(i.Interface)
	}
	return nil
}

// attach does what the CNI plugin does.
func (o order) attach(ctx context.Context, e *engine.Engine, n topology.Network) error {
	for _, p := range o.Endpoints {
		a := plan.Attachment{Endpoint: p.of(n), Sandbox: p.Sandbox}
		a.Interface, a.Container = "eth0", p.ID
		if _, _, err := e.Attach(ctx, n, a); err != nil {
			return err
		}
	}
	return nil
}

func (p endpoint) of(n topology.Network) topology.Endpoint {
	return topology.Endpoint{ID: p.ID, NetworkID: n.ID, IP: netip.MustParseAddr(p.IP), Role: p.Role}
}
