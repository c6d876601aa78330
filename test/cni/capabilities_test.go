package cni

import (
	"slices"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/mcpnet/mcpnet/internal/testcni"
)

// capabilityRows: what a runtime fills in for capabilities that the list declares.
func capabilityRows() []row {
	return []row{
		{name: "capability ips", run: capabilityIPs},
		{name: "capability ips: an address that is taken", run: capabilityIPTaken},
		{name: "capability ips: outside the subnet", run: capabilityIPOutside},
		{name: "capability mac", run: capabilityMAC},
		{name: "capability mac: not an address", run: capabilityBadMAC},
		{name: "capability mac: a gateway's is fixed", only: isMain, run: capabilityGatewayMAC},
		{name: "capability portMappings: refused for a server", only: hasPolicy, run: capabilityServerPorts},
		{name: "capability portMappings: a gateway may have them", only: hasPolicy, run: capabilityGatewayPorts},
		{name: "capability dns", only: isMain, run: capabilityDNS},
		{name: "capability bandwidth: refused", only: isMain, run: capabilityBandwidth},
		{name: "pod annotations: the role of a gateway", only: isMain, run: annotationGateway},
		{name: "pod annotations: a role that the address has not", only: hasPolicy, run: annotationWrongRole},
		{name: "pod annotations: a role can only be narrowed", only: isMain, run: annotationWidens},
		{name: "pod annotations: a misspelt key", only: isMain, run: annotationMisspelt},
		{name: "pod annotations of others", only: isMain, run: annotationOthers},
		{name: "capabilities that are not declared do not come", only: isMain, run: undeclared},
	}
}

const podAnnotations = "io.kubernetes.cri.pod-annotations"

// with fills in a capability.
func with(c testcni.Call, capability string, value any) testcni.Call {
	capabilities := map[string]any{capability: value}
	for key, have := range c.Capabilities {
		capabilities[key] = have
	}
	c.Capabilities = capabilities
	return c
}

func capabilityIPs(l *lab) {
	for _, text := range []string{"172.20.7.7", "172.20.8.8/16"} {
		c := l.container()
		m := l.add(l.net, c, with(c.call(), "ips", []string{text}))
		l.want(contains(text, m.ip.String()), "address %s instead of %s", m.ip, text)
		l.agrees(m)
	}
}

// turnedDown is an ADD that has to fail, with the DEL that the runtime sends.
func (l *lab) turnedDown(n *testcni.Network, c testcni.Call) error {
	_, err := l.tryAdd(n, c)
	if err == nil {
		return nil
	}
	if l.s.undoes {
		l.want(len(l.surplus()) == 0, "the failed ADD left %v", l.surplus())
	}
	l.succeeds(l.tryDel(n, c), "DEL after the failed ADD")
	l.want(len(l.surplus()) == 0, "the failed ADD and its DEL left %v", l.surplus())
	return err
}

// surplus is what a host has beyond what its living attachments need: their number of documents, wires and addresses.
func (l *lab) surplus() []string {
	l.t.Helper()
	if len(l.live) == 0 {
		return l.left()
	}
	var documents, addresses []string
	for object := range l.state() {
		switch {
		case contains(object, "document ") && contains(object, "/endpoints/"):
			documents = append(documents, object)
		case contains(object, "address "):
			addresses = append(addresses, object)
		}
	}
	var extra []string
	if len(documents) > len(l.live) {
		extra = append(extra, documents...)
	}
	if len(addresses) > len(l.live) {
		extra = append(extra, addresses...)
	}
	if now := wires(l); len(now) > len(l.live) {
		extra = append(extra, now...)
	}
	return extra
}

func capabilityIPTaken(l *lab) {
	a, b := l.container(), l.container()
	first := l.add(l.net, a, with(a.call(), "ips", []string{"172.20.7.7"}))
	err := l.turnedDown(l.net, with(b.call(), "ips", []string{"172.20.7.7"}))
	l.want(err != nil, "an address that is taken: accepted")
	l.succeeds(l.check(first), "CHECK of the one that has it")
	l.want(l.state()["address "+first.ip.String()], "the address of the one that has it was given back")
}

func capabilityIPOutside(l *lab) {
	c := l.container()
	l.want(l.turnedDown(l.net, with(c.call(), "ips", []string{"10.9.9.9"})) != nil, "an address outside the subnet: accepted")
}

func capabilityMAC(l *lab) {
	gateway := l.gateway()
	c := l.container()
	m := l.add(l.net, c, with(c.call(), "mac", "02:11:22:33:44:55"))
	l.agrees(m)
	l.want(m.MAC("eth0").String() == "02:11:22:33:44:55", "hardware address %s", m.MAC("eth0"))
	l.succeeds(l.reaches(m, gateway), "traffic")
}

func capabilityBadMAC(l *lab) {
	c := l.container()
	l.want(l.turnedDown(l.net, with(c.call(), "mac", "02:11:22:33")) != nil, "a hardware address of four bytes: accepted")
	if l.s.policy {
		l.want(l.turnedDown(l.net, with(c.call(), "mac", "01:11:22:33:44:55")) != nil, "a group's hardware address: accepted")
	}
}

func capabilityGatewayMAC(l *lab) {
	c := l.container()
	err := l.turnedDown(l.net, with(withIP(c.call(), gatewayAddr), "mac", "02:11:22:33:44:55"))
	l.want(err != nil && contains(err.Error(), "fixed"), "the hardware address of a gateway: %v", err)
}

func ports() []entry {
	return []entry{{"hostPort": 8081, "containerPort": 80, "protocol": "tcp"}}
}

func capabilityServerPorts(l *lab) {
	c := l.container()
	l.refused(l.turnedDown(l.net, with(c.call(), "portMappings", ports())), types.ErrInvalidNetworkConfig, "published ports of a server",
		networkName, "portMappings", "8081:80/tcp", "gateway")
}

func capabilityGatewayPorts(l *lab) {
	c := l.container()
	m := l.add(l.net, c, with(withIP(c.call(), gatewayAddr), "portMappings", ports()))
	l.succeeds(l.check(m), "CHECK")
}

func capabilityDNS(l *lab) {
	dns := entry{"servers": []string{"203.0.113.53"}, "searches": []string{"example.org"}, "options": []string{"ndots:2"}}
	a, b := l.container(), l.container()
	gateway := l.add(l.net, a, with(withIP(a.call(), gatewayAddr), "dns", dns))
	l.want(slices.Equal(gateway.result.DNS.Nameservers, []string{"203.0.113.53"}), "the gateway's resolvers: %v", gateway.result.DNS.Nameservers)
	server := l.add(l.net, b, with(b.call(), "dns", dns))
	l.want(len(server.result.DNS.Nameservers) == 0, "the server's resolvers: %v", server.result.DNS.Nameservers)
	l.want(slices.Equal(server.result.DNS.Search, []string{"example.org"}), "the server's search list: %v", server.result.DNS.Search)
}

func capabilityBandwidth(l *lab) {
	c := l.container()
	l.refused(l.turnedDown(l.net, with(c.call(), "bandwidth", entry{"ingressRate": 1000})), types.ErrInvalidNetworkConfig, "bandwidth", networkName, "bandwidth")
}

// annotationGateway: the role alone brings the gateway's address.
func annotationGateway(l *lab) {
	c := l.container()
	m := l.add(l.net, c, with(c.call(), podAnnotations, map[string]string{"mcpnet.role": "gateway"}))
	l.want(m.ip.String() == gatewayAddr, "a gateway has address %s", m.ip)
	l.listen(m)
	l.succeeds(l.reaches(l.server(), m), "traffic")
}

func annotationWrongRole(l *lab) {
	c := l.container()
	role := func(r string) map[string]string { return map[string]string{"mcpnet.role": r} }
	err := l.turnedDown(l.net, with(with(c.call(), "ips", []string{"172.20.7.7"}), podAnnotations, role("gateway")))
	l.want(err != nil && contains(err.Error(), gatewayAddr), "a gateway with another address: %v", err)
	err = l.turnedDown(l.net, with(withIP(c.call(), gatewayAddr), podAnnotations, role("server")))
	l.want(err != nil && contains(err.Error(), gatewayAddr), "a server with a gateway's address: %v", err)
}

func annotationWidens(l *lab) {
	n := l.network(set("server", "role"))
	c := l.container()
	l.refused(l.turnedDown(n, with(withIP(c.call(), gatewayAddr), podAnnotations, map[string]string{"mcpnet.role": "gateway"})), types.ErrInvalidNetworkConfig,
		"a pod that makes itself a gateway against its network's configuration", networkName, "mcpnet.role", "narrow")
}

func annotationMisspelt(l *lab) {
	c := l.container()
	l.refused(l.turnedDown(l.net, with(c.call(), podAnnotations, map[string]string{"mcpnet.rolle": "server"})), types.ErrInvalidNetworkConfig,
		"a misspelt annotation", networkName, "mcpnet.rolle", "mcpnet.role")
}

func annotationOthers(l *lab) {
	c := l.container()
	l.add(l.net, c, with(c.call(), podAnnotations, map[string]string{"example.org/role": "gateway", "role": "gateway"}))
}

// undeclared: libcni passes on only what the entry declares, so that a list without the capability cannot be talked to.
func undeclared(l *lab) {
	n := l.network(set(map[string]any{}, "capabilities"))
	c := l.container()
	m := l.add(n, c, with(c.call(), podAnnotations, map[string]string{"mcpnet.role": "gateway"}))
	l.want(m.ip.String() != gatewayAddr, "a pod made itself a gateway on a list that takes no annotations")
}
