package resident

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

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
		}
	}
	for _, p := range now.Published {
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
	return f.core.RenewIPTables(ctx, n.Network)
}

// holdPorts takes the published ports again when the process begins. Those of endpoints that are gone are forgotten.
func (f *Front) holdPorts(n *network) {
	var known []topology.Publication
	for _, p := range n.Published {
		if n.endpoints[p.Endpoint] == nil {
			continue
		}
		known = append(known, p)
		if err := f.core.HoldPort(p); err != nil {
			f.log.Error("published port", "network", n.DisplayName(), "port", p.String(), "error", err)
			f.problems = append(f.problems, report.Finding{Code: report.CodePort, Severity: report.Warning,
				Object: "network " + n.DisplayName(), Meaning: err.Error(),
				Remedy: "connections from other machines pass; those of this host do not until the gateway is restarted"})
		}
	}
	n.Published = known
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
