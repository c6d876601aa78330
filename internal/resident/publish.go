package resident

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Publish has ports of the host lead to a gateway. The engine asks for it where the gateway's default route leads over
// this network, and revokes it where another network becomes the one that publishes. On any error nothing is published.
func (f *Front) Publish(ctx context.Context, networkID, id string, ports []topology.Publication) error {
	return f.locked(ctx, func() error {
		n, p, err := f.endpoint(networkID, id)
		if err != nil || (len(ports) == 0 && len(n.PublicationsOf(id)) == 0) {
			return err
		}
		if p.Role != topology.RoleGateway || !n.HasUplink() {
			return fmt.Errorf("network %s: -p on %s: only a gateway of a network with mcpnet.gateway.egress publishes ports; "+
				"connect the container to a network where Docker publishes them (docker network connect bridge NAME)", n.DisplayName(), p.IP)
		}
		published := n.WithoutPublications(id)
		for _, port := range ports {
			port.Endpoint, port.To = id, netip.AddrPortFrom(p.IP, port.To.Port())
			published.Published = append(published.Published, port)
		}
		if err := f.publish(ctx, n, published); err != nil {
			return errors.Join(err, f.publish(context.WithoutCancel(ctx), n, published.WithoutPublications(id)))
		}
		f.log.Info("ports published", "network", n.DisplayName(), "address", p.IP, "ports", ports)
		return nil
	})
}

// Unpublish takes an endpoint's published ports back. One that is not there is no error.
func (f *Front) Unpublish(ctx context.Context, networkID, id string) error {
	return f.locked(ctx, func() error {
		n, _, err := f.endpoint(networkID, id)
		if isUnknown(err) {
			return nil
		}
		if err != nil {
			return err
		}
		return f.unpublish(ctx, n, id)
	})
}

func (f *Front) unpublish(ctx context.Context, n *network, id string) error {
	if len(n.PublicationsOf(id)) == 0 {
		return nil
	}
	return f.publish(ctx, n, n.WithoutPublications(id))
}

// publish makes a network's published ports those of another value of it.
func (f *Front) publish(ctx context.Context, n *network, now topology.Network) error {
	gone := n.Published
	n.Published = now.Published
	for _, p := range gone {
		if !slices.Contains(now.Published, p) {
			if err := f.core.ReleasePort(p); err != nil {
				f.log.Warn("published port", "port", p.String(), "error", err)
			}
			delete(n.unheld, p)
		}
	}
	for _, p := range now.Published {
		if slices.Contains(gone, p) {
			continue
		}
		if err := f.core.HoldPort(p); err != nil {
			return fmt.Errorf("network %s: -p: %w", n.DisplayName(), err)
		}
	}
	if err := f.store.PutNetwork(n.Network); err != nil {
		return err
	}
	if err := f.establish(ctx, n); err != nil {
		return err
	}
	return f.core.RenewIPTables(ctx, n.served())
}

// holdPorts takes the published ports again when the process begins. Those of endpoints that are gone are forgotten.
func (f *Front) holdPorts(n *network) {
	n.unheld = map[topology.Publication]error{}
	gone := func(p topology.Publication) bool { return n.endpoints[p.Endpoint] == nil }
	n.Published = slices.DeleteFunc(n.Published, gone)
	for _, p := range n.Published {
		if err := f.core.HoldPort(p); err != nil {
			f.log.Error("published port", "network", n.DisplayName(), "port", p.String(), "error", err)
			n.unheld[p] = err
		}
	}
}

// retryPorts takes the published ports that could not be taken, and reports whether one was.
func (f *Front) retryPorts(n *network) (taken bool) {
	for _, p := range n.Published {
		if n.unheld[p] == nil || f.core.HoldPort(p) != nil {
			continue
		}
		f.log.Info("published port is free again", "network", n.DisplayName(), "port", p.String())
		delete(n.unheld, p)
		taken = true
	}
	return taken
}

// served is the network without the published ports that another program has: what reaches those is not the gateway's.
func (n *network) served() topology.Network {
	out := n.Network
	out.Published = slices.DeleteFunc(slices.Clone(n.Published), func(p topology.Publication) bool {
		return core.IsTaken(n.unheld[p])
	})
	return out
}

// unheldFindings tells of the published ports that could not be taken.
func (n *network) unheldFindings() (out []report.Finding) {
	for _, p := range n.Published {
		err := n.unheld[p]
		if err == nil {
			continue
		}
		remedy := "connections from other machines pass; those of this host do not until it can be taken, which is tried " +
			"every ten seconds"
		if core.IsTaken(err) {
			remedy = "the gateway is not reached there: end what has the port, and it is served again within ten seconds"
		}
		out = append(out, report.Finding{Code: report.CodePort, Severity: report.Warning, Object: "network " + n.DisplayName(),
			Meaning: err.Error(), Remedy: remedy})
	}
	return out
}

// NoteAlone records whether the engine shows other networks of an endpoint's container: where there is none, nobody
// publishes the ports that are not published here.
func (f *Front) NoteAlone(ctx context.Context, networkID, id string, alone bool) error {
	return f.locked(ctx, func() error {
		n, p, err := f.endpoint(networkID, id)
		if err != nil || p.alone == alone {
			return err
		}
		if p.alone = alone; alone && len(p.Ports) > 0 && p.Role != topology.RoleServer && len(n.PublicationsOf(id)) == 0 {
			f.log.Warn("published ports have no effect", "network", n.DisplayName(), "address", p.IP, "ports", p.Ports)
		}
		return nil
	})
}
