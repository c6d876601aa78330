package cni

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

func resultRows() []row {
	return []row{
		{name: "the result of a server is what the kernel has", run: func(l *lab) { l.agrees(l.server()) }},
		{name: "the result of a gateway is what the kernel has", run: func(l *lab) { l.agrees(l.gateway()) }},
		{name: "the result of a gateway with egress is what the kernel has", only: hasPolicy, run: resultEgress},
		{name: "a server has one address and one route to each gateway", only: hasPolicy, run: resultServer},
		{name: "dns of the configuration", run: resultDNS},
		{name: "dns of a server whose gateway answers names", only: hasPolicy, run: resultGatewayDNS},
		{name: "mtu", run: resultMTU},
	}
}

// agrees compares a result with the host and the container.
func (l *lab) agrees(m member) {
	for _, i := range m.result.Interfaces {
		of := l.NS
		if i.Sandbox != "" {
			l.want(i.Sandbox == m.Path(), "interface %s: sandbox %s instead of %s", i.Name, i.Sandbox, m.Path())
			of = m.NS
		}
		l.interfaceIs(of, i)
	}
	for _, ip := range m.result.IPs {
		l.want(ip.Interface != nil && *ip.Interface < len(m.result.Interfaces) && m.result.Interfaces[*ip.Interface].Name == m.call.IfName,
			"address %v is not of %s", ip, m.call.IfName)
	}
	l.addressesAre(m)
	l.routesAre(m)
}

func (l *lab) interfaceIs(of *testnet.NS, i *current.Interface) {
	link, err := of.Handle().LinkByName(i.Name)
	if err != nil {
		l.fault("interface %s of the result: %v", i.Name, err)
		return
	}
	a := link.Attrs()
	l.want(i.Mac == a.HardwareAddr.String(), "interface %s: hardware address %s in the result, %s in the kernel", i.Name, i.Mac, a.HardwareAddr)
	l.want(i.Mtu == 0 || i.Mtu == a.MTU, "interface %s: mtu %d in the result, %d in the kernel", i.Name, i.Mtu, a.MTU)
	l.want(a.Flags&net.FlagUp != 0, "interface %s is down", i.Name)
}

func (l *lab) addressesAre(m member) {
	link := m.Link(m.call.IfName)
	listed, err := m.Handle().AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		l.t.Fatalf("addresses: %v", err)
	}
	var have, said []string
	for _, a := range listed {
		have = append(have, a.IPNet.String())
	}
	for _, ip := range m.result.IPs {
		said = append(said, ip.Address.String())
	}
	l.want(slices.Equal(have, said), "addresses: %v in the result, %v in the kernel", said, have)
	full := strings.HasSuffix(strings.Join(said, ","), "/16")
	l.want(full == (l.s.cidr || m.ip.String() == gatewayAddr), "addresses: %v", said)
}

// routesAre leaves out the subnet's, which the kernel makes with an address.
func (l *lab) routesAre(m member) {
	var have, said []string
	for _, r := range routesOf(l, m) {
		if r.Protocol != 2 { // RTPROT_KERNEL
			have = append(have, routeText(r.Dst, r.Gw))
		}
	}
	for _, r := range m.result.Routes {
		gw := r.GW
		if gw == nil && r.Dst.String() == "0.0.0.0/0" && len(m.result.IPs) == 1 {
			gw = m.result.IPs[0].Gateway // a route without a next hop goes over the address's gateway
		}
		said = append(said, routeText(&r.Dst, gw))
	}
	slices.Sort(have)
	slices.Sort(said)
	l.want(slices.Equal(have, said), "routes: %v in the result, %v in the kernel", said, have)
}

func routesOf(l *lab, m member) []netlink.Route {
	l.t.Helper()
	listed, err := m.Handle().RouteList(m.Link(m.call.IfName), netlink.FAMILY_V4)
	if err != nil {
		l.t.Fatalf("routes: %v", err)
	}
	return listed
}

func routeText(dst *net.IPNet, via net.IP) string {
	text := "default"
	if dst != nil && dst.String() != "0.0.0.0/0" {
		text = dst.String()
	}
	if len(via) > 0 {
		text += " via " + via.String()
	}
	return text
}

func resultEgress(l *lab) {
	n := l.network(set("tcp/443", "policy", "gateway.egress"))
	c := l.container()
	m := l.add(n, c, withIP(c.call(), gatewayAddr))
	l.agrees(m)
	l.want(len(m.result.Routes) == 1 && m.result.Routes[0].Dst.String() == "0.0.0.0/0", "routes %v", m.result.Routes)
	l.want(m.result.IPs[0].Gateway.String() == bridgeAddr, "the address's gateway is %v", m.result.IPs[0].Gateway)
}

func resultServer(l *lab) {
	n := l.network(set(gatewayAddr+":8080,172.20.200.2:9090", "policy", "gateway"))
	c := l.container()
	m := l.add(n, c, c.call())
	l.agrees(m)
	ones, _ := m.result.IPs[0].Address.Mask.Size()
	l.want(ones == 32, "address %s", m.result.IPs[0].Address.String())
	l.want(m.result.IPs[0].Gateway == nil, "a server has the next hop %s", m.result.IPs[0].Gateway)
	var to []string
	for _, r := range m.result.Routes {
		to = append(to, r.Dst.String())
	}
	slices.Sort(to)
	l.want(slices.Equal(to, []string{gatewayAddr + "/32", "172.20.200.2/32"}), "routes to %v", to)
	_, err := m.Handle().RouteGet(net.IP(netip.MustParseAddr("203.0.113.10").AsSlice()))
	l.want(err != nil, "a server has a route to the internet")
}

// resultDNS: a server has no resolver, unless its gateway is one.
func resultDNS(l *lab) {
	dns := entry{"nameservers": []string{"203.0.113.53"}, "search": []string{"example.org"}, "domain": "example.org", "options": []string{"ndots:2"}}
	put := change(func(_ subject, list []entry) { list[0]["dns"] = dns })
	if l.s.chained {
		put = func(s subject, list []entry) { list[0]["dns"], underTest(s, list)["dns"] = dns, dns }
	}
	n := l.network(put)
	a, b := l.container(), l.container()
	gateway, server := l.add(n, a, withIP(a.call(), gatewayAddr)), l.add(n, b, b.call())
	l.want(slices.Equal(gateway.result.DNS.Nameservers, []string{"203.0.113.53"}), "the gateway's resolvers: %v", gateway.result.DNS.Nameservers)
	want := []string{"203.0.113.53"}
	if l.s.policy {
		want = nil
	}
	l.want(slices.Equal(server.result.DNS.Nameservers, want), "the server's resolvers: %v", server.result.DNS.Nameservers)
	for _, m := range []member{gateway, server} {
		d := m.result.DNS
		l.want(slices.Equal(d.Search, []string{"example.org"}) && slices.Equal(d.Options, []string{"ndots:2"}) && d.Domain == "example.org", "%s: dns %+v", m.id, d)
	}
}

func resultGatewayDNS(l *lab) {
	n := l.network(set("gateway", "policy", "dns"))
	c := l.container()
	m := l.add(n, c, c.call())
	l.want(slices.Equal(m.result.DNS.Nameservers, []string{gatewayAddr}), "resolvers: %v", m.result.DNS.Nameservers)
}

func resultMTU(l *lab) {
	n := l.network(func(_ subject, list []entry) { list[0]["mtu"] = 1300 })
	c := l.container()
	m := l.add(n, c, c.call())
	l.agrees(m)
	l.want(m.Link("eth0").Attrs().MTU == 1300, "mtu %d in the container", m.Link("eth0").Attrs().MTU)
}
