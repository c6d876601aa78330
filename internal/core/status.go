package core

import (
	"context"
	"fmt"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Status reads what is in force of networks. One that cannot be read is a finding; the others are shown. watched says
// that somebody looks at containers.
func (c *Core) Status(ctx context.Context, networks []plan.Network, watched bool) (report.Status, error) {
	s := report.Status{Schema: report.StatusSchema, Owners: []string{string(c.config.Owner)}, Networks: []report.Network{},
		Layers: report.Layers{Namespaces: true, NFTables: true, Uplinks: true, Prefix: c.features.DevicePrefix}}
	host, err := c.ObserveHost()
	if err != nil {
		return s, err
	}
	host.IPTables = c.ObserveIPTables(ctx, plain(networks))
	s.Findings = c.iptablesStatus(&s.Layers, host.IPTables != nil, networks)
	host.Firewalld, err = c.lookAtFirewalld(ctx, networks)
	s.Layers.Firewalld = host.Firewalld != nil
	s.Findings = append(s.Findings, firewalldFindings(host.Firewalld, err, networks)...)
	for _, n := range networks {
		rules := c.rules(n.Network)
		o, err := c.observe(n.Network, rules, host)
		if err != nil {
			s.Findings = append(s.Findings, report.Finding{Code: report.CodeNetwork, Severity: report.Failure, Object: "network " + n.DisplayName(), Meaning: err.Error()})
			o.Host = host
		}
		status := c.networkStatus(n, rules, o)
		s.Layers.Namespaces = s.Layers.Namespaces && o.Exists
		s.Layers.NFTables = s.Layers.NFTables && !unguarded(status) && len(plan.Skeleton(n.Network, rules, o.Observed)) == 0
		s.Layers.Uplinks = s.Layers.Uplinks && (!n.HasUplink() || status.UplinkUp)
		s.Findings = append(s.Findings, driftFinding(status)...)
		s.Findings = append(s.Findings, status.Judge(judged(n, o.Observed, watched))...)
		s.Networks = append(s.Networks, status)
	}
	return s, nil
}

// judged is what a network is judged by beside its status.
func judged(n plan.Network, o plan.Observed, watched bool) report.Judged {
	j := report.Judged{CapsMode: string(n.Policy.CapsMode), Watched: watched}
	var asks []string
	words := surface.Of(n.Owner).Words
	for _, a := range n.Policy.GatewayAddrs() {
		j.Gateways = append(j.Gateways, a.String())
		asks = append(asks, words.Address+" "+a.String())
	}
	j.Ask = fmt.Sprintf("%s, outside %s, or with %s=gateway (%s)", strings.Join(asks, " or "), words.Range, policy.KeyRole, words.Role)
	o.Host.Firewalld = nil // of which zoneFindings tell
	for _, step := range plan.Uplink(n.Network, o) {
		j.Missing = append(j.Missing, step.String())
	}
	for _, e := range n.Endpoints {
		if e.Joined && e.Alone && e.Role != topology.RoleServer && len(n.PublicationsOf(e.ID)) == 0 {
			j.Unpublished = append(j.Unpublished, e.Ports...)
		}
	}
	return j
}

func plain(networks []plan.Network) (out []topology.Network) {
	for _, n := range networks {
		out = append(out, n.Network)
	}
	return out
}

// iptablesStatus tells of the host's iptables where a network has a use for it.
func (c *Core) iptablesStatus(layers *report.Layers, used bool, networks []plan.Network) []report.Finding {
	tables, err := c.openIPTables()
	if tables != nil {
		layers.IPTables = tables.Variant()
		if p, ok := tables.Where(); ok {
			layers.DockerMCP = &report.Position{Chain: p.Chain, Rule: p.Rule}
		}
	}
	if err == nil || used || len(networks) == 0 {
		return nil
	}
	return []report.Finding{{Code: report.CodeNoIPTables, Severity: report.Info, Object: "host", Meaning: err.Error(),
		Remedy: "install iptables if gateways reach nothing beyond their network"}}
}

func driftFinding(n report.Network) []report.Finding {
	if len(n.Drift) == 0 {
		return nil
	}
	return []report.Finding{{Code: report.CodeDrift, Severity: report.Warning, Object: "network " + n.DisplayName(),
		Meaning: fmt.Sprintf("%d steps are missing; what depends on them passes nothing until they are done", len(n.Drift)),
		Remedy:  "mcpnet's resident process does them by itself; mcpnet plan lists them"}}
}

func unguarded(n report.Network) bool {
	for _, e := range n.Endpoints {
		if e.State == report.StateUnguarded {
			return true
		}
	}
	return false
}

func (c *Core) networkStatus(n plan.Network, rules firewall.Ruleset, o observation) report.Network {
	s := report.Network{ID: n.ID, Name: n.Name, Owner: string(n.Owner), Namespace: n.Namespace(), Bridge: n.Bridge, BridgeUp: o.Links[n.Bridge].Up,
		Subnet: n.Subnet.String(), Policy: n.Policy.Options(), Endpoints: []report.Endpoint{}, Denied: map[string]report.Counter{}}
	if n.HasUplink() {
		s.Uplink, s.UplinkUp = n.Uplink(), o.Uplink
		if o.Host.Firewalld != nil {
			s.Zone = o.Host.Firewalld.Zones[n.Uplink()]
		}
	}
	for _, step := range plan.Diff(n, rules, o.Observed) {
		s.Drift = append(s.Drift, step.String())
	}
	for _, e := range n.Endpoints {
		s.Endpoints = append(s.Endpoints, c.endpointStatus(n.Network, e, o.Observed))
	}
	for id, counter := range o.counters {
		if what, ok := strings.CutPrefix(id, n.Bridge+"/"); ok {
			s.Denied[what] = report.Counter{Packets: counter.Packets, Bytes: counter.Bytes}
		}
	}
	return s
}

func publishedText(n topology.Network, endpoint string) (out []string) {
	for _, p := range n.PublicationsOf(endpoint) {
		out = append(out, p.String())
	}
	return out
}

func (c *Core) endpointStatus(n topology.Network, e plan.Endpoint, o plan.Observed) report.Endpoint {
	wire, exists := o.Links[e.Wire()]
	s := report.Endpoint{ID: e.ID, Container: e.Container, Name: e.Name, Role: string(e.Role), Reason: e.Reason, Address: e.IP.String(), MAC: e.MAC.String(),
		Ports: e.Ports, Published: publishedText(n, e.ID), Wire: e.Wire(), State: report.StateDown, Sent: report.Counter(wire.In), Received: report.Counter(wire.Out)}
	switch {
	case !exists:
		s.State = report.StateGone
	case !o.Guards(firewall.CompileEndpoint(n, e.Endpoint, c.features)):
		s.State = report.StateUnguarded
	case wire.Up:
		s.State = report.StateUp
	}
	if e.Allow != nil {
		s.Allow = e.Allow.String()
	}
	if n.Examined(e.Endpoint) {
		s.Admission = report.Admission{State: string(e.Admission.State), By: e.Admission.By, Reason: e.Admission.Reason, WayOut: e.Admission.WayOut}
		s.Quarantined = n.Held(e.Endpoint)
	}
	return s
}
