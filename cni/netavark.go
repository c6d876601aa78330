package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/internal/version"
)

// netavarkAPI is the version of netavark's plugin API (plugin-API.md).
const netavarkAPI = "1.0.0"

// netavark serves one call of netavark or Podman. Errors go to standard output as {"error": …}, and nothing else with them.
func netavark(args []string, in io.Reader, out io.Writer) (exit int) {
	answer, err := serveNetavark(args, in)
	if err != nil {
		answer, exit = map[string]string{"error": "mcpnet: " + err.Error()}, 1
	}
	if answer == nil {
		return exit
	}
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		slog.Error("answer", "error", err)
		return 1
	}
	return exit
}

func serveNetavark(args []string, in io.Reader) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	verb, netns := args[0], ""
	if len(args) > 1 {
		netns = args[1]
	}
	switch verb {
	case "info":
		return map[string]string{"version": version.String(), "api_version": netavarkAPI}, nil
	case "create":
		if err := needRoot(); err != nil {
			return nil, err
		}
		return createNetavark(in)
	case "setup", "teardown":
		if netns == "" {
			return nil, fmt.Errorf("%s: the path of a network namespace is missing", verb)
		}
		var call netavarkCall
		if err := json.NewDecoder(in).Decode(&call); err != nil {
			return nil, fmt.Errorf("%s: standard input: %w", verb, err)
		}
		if verb == "setup" {
			return call.setup(ctx, netns)
		}
		return nil, call.teardown(ctx)
	}
	return nil, fmt.Errorf("%q is not a call of netavark's plugin API: create, setup, teardown or info", verb)
}

// needRoot refuses user namespaces: what is the host for rootless containers is a namespace of Podman's, and what leaves
// it is another program's to filter.
func needRoot() error {
	ids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return err
	}
	if fields := strings.Fields(string(ids)); len(fields) == 3 && fields[0] == "0" && fields[1] == "0" && os.Geteuid() == 0 {
		return nil
	}
	return fmt.Errorf("rootless Podman is not supported: its networks lie in a namespace of Podman's own, whose way out (pasta) mcpnet does not hold; run Podman as root")
}

// netavarkCall is NetworkPluginExec.
type netavarkCall struct {
	ContainerID   string            `json:"container_id"`
	ContainerName string            `json:"container_name"`
	Ports         []netavarkPort    `json:"port_mappings"`
	Network       netavarkNetwork   `json:"network"`
	Options       netavarkContainer `json:"network_options"`
}

type netavarkPort struct {
	ContainerPort int    `json:"container_port"`
	HostPort      int    `json:"host_port"`
	Protocol      string `json:"protocol"`
}

type netavarkContainer struct {
	Interface string            `json:"interface_name"`
	IPs       []netip.Addr      `json:"static_ips"`
	MAC       string            `json:"static_mac"`
	Options   map[string]string `json:"options"`
}

func (c netavarkCall) attachmentID() string { return endpointID(c.ContainerID, c.Options.Interface) }

// netavarkStatus is StatusBlock.
type netavarkStatus struct {
	Interfaces map[string]netavarkInterface `json:"interfaces"`
	DNS        []string                     `json:"dns_server_ips,omitempty"`
	Search     []string                     `json:"dns_search_domains,omitempty"`
}

type netavarkInterface struct {
	MAC     string            `json:"mac_address"`
	Subnets []netavarkAddress `json:"subnets"`
}

type netavarkAddress struct {
	IPNet   string `json:"ipnet"`
	Gateway string `json:"gateway,omitempty"`
}

func openNetavark(ctx context.Context) (*engine.Engine, error) {
	return openStore(ctx, surface.Netavark, nil)
}

// setup attaches a container. netavark does not undo a driver that fails, so nothing of it may be left; Attach sees to that.
func (c netavarkCall) setup(ctx context.Context, netns string) (any, error) {
	if err := needRoot(); err != nil {
		return nil, err
	}
	if err := checkSandbox(netns); err != nil {
		return nil, err
	}
	n, err := c.Network.topology()
	if err != nil {
		return nil, err
	}
	p, err := c.endpoint(n)
	if err != nil {
		return nil, fmt.Errorf("network %s: container %s: %w", n.Name, c.ContainerName, err)
	}
	e, err := openNetavark(ctx)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	attachment := plan.Attachment{Endpoint: p, Sandbox: netns}
	n, attachment.Endpoint, err = attach(ctx, e, n, attachment)
	if err != nil {
		return nil, err
	}
	return c.status(n, attachment), nil
}

// endpoint decides what the container is. Podman assigns addresses from lease_range; one outside was asked for.
func (c netavarkCall) endpoint(n topology.Network) (p topology.Endpoint, err error) {
	if len(c.Options.IPs) != 1 || !c.Options.IPs[0].Is4() {
		return p, fmt.Errorf("addresses %v: an endpoint has exactly one, of IPv4", c.Options.IPs)
	}
	p = topology.Endpoint{ID: c.attachmentID(), NetworkID: n.ID, IP: c.Options.IPs[0], Container: c.ContainerName, Interface: c.Options.Interface}
	parsed, err := policy.ParseEndpoint(c.Options.Options)
	if err != nil {
		return p, err
	}
	said, lease := parsed.Role, c.Network.Subnets[0].Lease
	outside := lease != nil && (p.IP.Less(lease.Start) || lease.End.Less(p.IP))
	if said == policy.RoleUnset && outside && n.Policy.IsGateway(p.IP) {
		said = policy.RoleGateway
	}
	if p.Role, p.Reason, err = n.RoleFor(p.IP, said); err != nil {
		return p, err
	}
	switch {
	case p.Role == topology.RoleCandidate:
		return p, fmt.Errorf("address %s is a gateway's, and lies inside the range that Podman assigns from: create the network with an --ip-range without it, "+
			"or give the gateway the option %s=gateway", p.IP, policy.KeyRole)
	case p.Role == topology.RoleGateway && parsed.Role == policy.RoleUnset:
		p.Reason = fmt.Sprintf("address %s was asked for: it lies outside the range that Podman assigns from", p.IP)
	case p.Role == topology.RoleServer && len(c.Ports) > 0:
		return p, fmt.Errorf("published ports (-p) on a server: only the gateway reaches it; publish the port on the gateway, and drop -p (%d:%d) here", c.Ports[0].HostPort, c.Ports[0].ContainerPort)
	}
	p.MAC, err = n.RequestedMAC(p, c.Options.MAC)
	return p, err
}

func (c netavarkCall) status(n topology.Network, a plan.Attachment) netavarkStatus {
	inside := plan.Peer(n, a)
	address := netavarkAddress{IPNet: inside.Addr.String()}
	for _, r := range inside.Routes {
		if r.Dst.Bits() == 0 {
			address.Gateway = r.Via.String()
		}
	}
	s := netavarkStatus{Interfaces: map[string]netavarkInterface{a.Interface: {MAC: a.MAC.String(), Subnets: []netavarkAddress{address}}}}
	switch {
	case a.Role == topology.RoleGateway:
		s.DNS = c.Network.DNSServers
	case n.Policy.DNS == policy.DNSGateway:
		for _, g := range n.Policy.GatewayAddrs() {
			s.DNS = append(s.DNS, g.String())
		}
	}
	return s
}

// teardown detaches a container. What is missing is done.
func (c netavarkCall) teardown(ctx context.Context) error {
	e, err := openNetavark(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	if _, _, err := e.Detach(ctx, c.Network.ID, c.attachmentID()); err != nil {
		return err
	}
	if err := word.Forget(c.attachmentID()); err != nil {
		return err
	}
	return e.SweepSometimes(ctx, c.Network.ID)
}

// netavarkNetwork is the part of a network of Podman's that mcpnet reads.
type netavarkNetwork struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Interface  string            `json:"network_interface"`
	Subnets    []netavarkSubnet  `json:"subnets"`
	Routes     []json.RawMessage `json:"routes"`
	IPv6       bool              `json:"ipv6_enabled"`
	Internal   bool              `json:"internal"`
	DNSServers []string          `json:"network_dns_servers"`
	Options    map[string]string `json:"options"`
	IPAM       map[string]string `json:"ipam_options"`
}

type netavarkSubnet struct {
	Subnet  netip.Prefix   `json:"subnet"`
	Gateway netip.Addr     `json:"gateway,omitzero"`
	Lease   *netavarkLease `json:"lease_range,omitempty"`
}

type netavarkLease struct {
	Start netip.Addr `json:"start_ip,omitzero"`
	End   netip.Addr `json:"end_ip,omitzero"`
}

// topology reads the network, or names every problem.
func (n netavarkNetwork) topology() (topology.Network, error) {
	options := maps.Clone(n.Options)
	if options == nil {
		options = map[string]string{}
	}
	var problems problem.List
	if n.Interface != "" {
		if have, ok := options[policy.KeyBridge]; ok && have != n.Interface {
			problems = append(problems, problem.Problem{Key: policy.KeyBridge, Value: have, Reason: "--interface-name says " + n.Interface, Accepted: "one of the two"})
		}
		options[policy.KeyBridge] = n.Interface
	}
	parsed, err := policy.Parse(options)
	more, err := problem.Of(err)
	if err != nil {
		return topology.Network{}, err
	}
	problems = append(problems, more...)
	problems = append(problems, n.problems(options)...)
	if n.Internal {
		parsed.Egress = policy.Egress{}
	}
	if len(n.Subnets) != 1 {
		problems = append(problems, problem.Problem{Key: "--subnet", Reason: fmt.Sprintf("the network has %d subnets", len(n.Subnets)), Accepted: "exactly one, of IPv4"})
		return topology.Network{}, problems
	}
	subnet := n.Subnets[0]
	if !subnet.Gateway.IsValid() {
		subnet.Gateway = subnet.Subnet.Masked().Addr().Next()
	}
	if len(more) == 0 {
		wrong, _ := problem.Of(parsed.Validate(policy.Network{Subnet: subnet.Subnet, BridgeAddr: subnet.Gateway, IPv6: n.IPv6}))
		problems = append(problems, wrong...)
	}
	if len(problems) > 0 {
		return topology.Network{}, problems
	}
	return topology.Network{ID: n.ID, Name: n.Name, Bridge: parsed.Bridge, Subnet: subnet.Subnet.Masked(), BridgeAddr: subnet.Gateway, Policy: parsed}, nil
}

// problems are those of Podman's own settings.
func (n netavarkNetwork) problems(options map[string]string) (problems problem.List) {
	if len(n.Routes) > 0 {
		problems = append(problems, problem.Problem{Key: "--route", Reason: "a server's only routes are those to its gateways", Accepted: "no --route"})
	}
	if driver := n.IPAM["driver"]; !slices.Contains([]string{"", "host-local"}, driver) {
		problems = append(problems, problem.Problem{Key: "--ipam-driver", Value: driver, Reason: "Podman has to assign the addresses", Accepted: "host-local"})
	}
	if egress := options[policy.KeyEgress]; n.Internal && egress != "" && egress != "off" {
		problems = append(problems, problem.Problem{Key: policy.KeyEgress, Value: egress, Reason: "an --internal network has no egress", Accepted: "off, or no --internal"})
	}
	return problems
}
