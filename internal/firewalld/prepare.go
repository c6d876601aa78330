package firewalld

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/godbus/dbus/v5"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// policy is the policy by which what comes from the zone of uplinks is forwarded.
const policy = "mcpnet-egress"

const (
	zoneDescription = "Uplinks of mcpnet's networks: what gateways of MCP servers send beyond their network. " +
		"Nothing of the host is open to them."
	policyDescription = "The host forwards what comes from uplinks of mcpnet's networks, unless another rule decides. " +
		"mcpnet.gateway.egress of each network limits it."
)

// lastPriority has a policy asked after everything else: whatever another zone, policy or rule decides is decided.
const lastPriority = int32(32767)

// Prepare makes the zone and the policy, permanently, and has firewalld take them up. It takes up a new zone at a
// reload only; what somebody has changed in force and not permanently ends with that, so that it is done once. A zone
// or a policy that is there stays as somebody may have changed it.
func (f *Firewall) Prepare(ctx context.Context) error {
	if s, err := f.State(ctx); err != nil || s.Prepared {
		return err
	}
	err := errors.Join(
		f.make(ctx, "getZoneNames", "addZone2", topology.FirewallZone, map[string]dbus.Variant{
			"short":       dbus.MakeVariant("mcpnet"),
			"description": dbus.MakeVariant(zoneDescription),
			"target":      dbus.MakeVariant("%%REJECT%%"),
			"forward":     dbus.MakeVariant(false),
		}),
		f.make(ctx, "getPolicyNames", "addPolicy", policy, map[string]dbus.Variant{
			"short":         dbus.MakeVariant("mcpnet egress"),
			"description":   dbus.MakeVariant(policyDescription),
			"target":        dbus.MakeVariant("ACCEPT"),
			"ingress_zones": dbus.MakeVariant([]string{topology.FirewallZone}),
			"egress_zones":  dbus.MakeVariant([]string{"ANY"}),
			"priority":      dbus.MakeVariant(lastPriority),
		}))
	if err != nil {
		return err
	}
	return f.reload(ctx)
}

// make makes what is permanent, unless it is there: two may do it at once.
func (f *Firewall) make(ctx context.Context, list, add, name string, settings map[string]dbus.Variant) error {
	names, err := f.names(ctx, inConfig+list)
	if err != nil || slices.Contains(names, name) {
		return err
	}
	err = f.call(ctx, permanent, inConfig+add, name, settings).Err
	if is(err, "NAME_CONFLICT") {
		return nil
	}
	return explain(name, err)
}

// reload has firewalld take up what is permanent. It does not where that has an error: firewalld would fail.
func (f *Firewall) reload(ctx context.Context) error {
	if err := f.call(ctx, inForce, service+".checkPermanentConfig").Err; err != nil {
		return explain("its permanent configuration has an error (firewall-cmd --check-config), so it is not reloaded", err)
	}
	if err := f.call(ctx, inForce, service+".reload").Err; err != nil {
		return explain("reload", err)
	}
	s, err := f.State(ctx)
	if err == nil && !s.Prepared {
		err = fmt.Errorf("firewalld: zone %s and policy %s are not in force after a reload", topology.FirewallZone, policy)
	}
	return err
}
