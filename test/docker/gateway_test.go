package docker_test

import (
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// is tells the engine's version, for what only some can do.
func (l *lab) is(version string) bool {
	return strings.Contains(l.t.Name(), "/"+version)
}

func (l *lab) connect() {
	for _, c := range []struct {
		name, prefix, value string
		open, closed        []string
	}{
		{"connect-off", "172.26", "off", nil, []string{"3000", "3001"}},
		{"connect-one", "172.27", "tcp/3000", []string{"3000"}, []string{"3001"}},
		{"connect-two", "172.28", "tcp/3000,tcp/3001", []string{"3000", "3001"}, []string{"3002"}},
	} {
		s := l.segment(c.name, c.prefix, "-o", "mcpnet.gateway.connect="+c.value)
		gateway, server := s.gateway("8080"), s.start("server", "3000 3001 3002")
		s.connects(server, s.at("0.100:8080"))
		for _, port := range c.open {
			s.connects(gateway, server+":"+port)
		}
		for _, port := range c.closed {
			s.refused(gateway, server+":"+port)
		}
	}
}

func (l *lab) egress() {
	internet := testnet.InternetHost.String()
	s := l.segment("egress", "172.29")
	gateway := s.gateway("8080")
	s.connects(gateway, internet+":443")
	s.connects(gateway, internet+":80")
	s.refused(gateway, internet+":22")
	for _, port := range []string{"80", "443", "22"} {
		s.refused(gateway, testnet.Metadata.String()+":"+port)
	}
	s.refused(gateway, testnet.HostAddr.String()+":80")

	none := l.segment("egress-off", "172.30", "-o", "mcpnet.gateway.egress=off")
	gateway, server := none.gateway("8080"), none.start("server", "3000")
	none.connects(server, none.at("0.100:8080"))
	none.refused(gateway, internet+":443")
	if via := none.defaultRoute(gateway); via != "" {
		none.t.Errorf("default route over %s", via)
	}
	// What has no way beyond it is not to be seen on the host.
	if got := none.onHost(); len(got) > 0 {
		none.t.Errorf("egress is off, and the host has a %v of the network", got)
	}
	if up := linksOf(none.t, none.space(none.bridge()), topology.UplinkPort); len(up) > 0 {
		none.t.Errorf("egress is off, and there is an uplink: %v", up)
	}
	if got := s.onHost(); !slices.Equal(got, []string{"link", "route", "rule"}) {
		s.t.Errorf("control: with egress the host has a %v of the network", got)
	}

	one := l.segment("egress-one", "172.31", "-o", "mcpnet.gateway.egress=tcp/22")
	gateway = one.gateway("8080")
	one.connects(gateway, internet+":22")
	one.refused(gateway, internet+":443")
}

// onHost tells what of a network the host's own namespace shows: links, rules, and routes of its subnet.
func (s segment) onHost() (found []string) {
	s.t.Helper()
	bridge := s.bridge()
	for what, commands := range map[string][]string{
		"link": {"ip -br link"}, "rule": {"nft list ruleset", "iptables-save", "ip6tables-save"},
		"route": {"ip route show table all", "ip neigh show nud permanent"},
	} {
		text := ""
		for _, command := range commands {
			words := strings.Fields(command)
			text += s.host(words[0], words[1:]...)
		}
		if strings.Contains(text, bridge) || strings.Contains(text, s.prefix+".") {
			found = append(found, what)
		}
	}
	slices.Sort(found)
	return found
}

// uplinks gives gateways a second network, with a published port. The default route is the network's whose name comes
// first, and Docker has that network publish the port. The mcpnet network gives no route with egress off, nor on Docker
// 28 and later where the uplink has the higher priority.
func (l *lab) uplinks() {
	l.MustDocker("network", "create", "--subnet", "10.81.0.0/24", "a-uplink")
	l.MustDocker("network", "create", "--subnet", "10.82.0.0/24", "z-uplink")
	l.uplink("m-before", "172.18", "18001", true, nil, "a-uplink")
	l.uplink("m-after", "172.19", "18002", false, nil, "z-uplink")
	l.uplink("m-off", "172.12", "18003", true, []string{"-o", "mcpnet.gateway.egress=off"}, "z-uplink")
	if !l.is("20.10") {
		l.uplink("m-prio", "172.11", "18004", true, nil, "--gw-priority", "1", "z-uplink")
	}
}

// uplink makes one such gateway and tells whether its default route has to lead over the uplink.
func (l *lab) uplink(name, prefix, port string, over bool, options []string, connect ...string) {
	l.t.Helper()
	s := l.segment(name, prefix, options...)
	gateway := name + "-gateway"
	args := serveArgs(gateway, "8080", "--network", name, "--ip", s.at("0.100"), "-p", port+":8080")
	l.MustDocker(append([]string{"create"}, args[2:]...)...)
	l.MustDocker(slices.Concat([]string{"network", "connect"}, connect, []string{gateway})...)
	l.MustDocker("start", gateway)
	server := s.start("server", "3000")
	s.connects(server, s.at("0.100:8080"))
	s.connects(gateway, server+":3000")
	s.connects(gateway, testnet.InternetHost.String()+":443")
	if via := l.defaultRoute(gateway); strings.HasPrefix(via, "10.") != over {
		l.t.Errorf("%s: default route over %q", name, via)
	}
	l.answers(port, true)
	if got := strings.Contains(l.host("nft", "list", "table", "inet", "mcpnet"), "publish-"+port); got == over {
		l.t.Errorf("%s: mcpnet publishes the port: %v, want %v", name, got, !over)
	}
	// The policy's egress is that of the mcpnet network. What leaves over the uplink is the uplink's affair.
	if got := l.peer(gateway, "tcp", testnet.InternetHost.String()+":22").Answered; got != over {
		l.t.Errorf("%s: port 22 outside answers: %v, want %v", name, got, over)
	}
}

// fromInternet tells whether a published port answers.
func (l *lab) fromInternet(port string) bool {
	_, err := l.world.Internet.Output("timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/"+testnet.HostAddr.String()+"/"+port)
	return err == nil
}

func (l *lab) engineView() {
	s := l.segment("view", "172.13")
	gateway, server := s.gateway("8080"), s.start("server", "3000")
	inspected := l.MustDocker("network", "inspect", "--format", "{{.Driver}} {{range .Containers}}{{.Name}} {{.IPv4Address}} {{.MacAddress}} {{end}}", s.name)
	for _, want := range []string{"mcpnet ", gateway + " 172.13.0.100/16", server + " 172.13.240."} {
		if !strings.Contains(inspected, want) {
			l.t.Errorf("docker network inspect: %s; want %q", inspected, want)
		}
	}
	if ps := l.MustDocker("ps", "--filter", "network="+s.name, "--format", "{{.Names}} {{.Status}}"); strings.Count(ps, " Up ") != 2 {
		l.t.Errorf("docker ps: %s", ps)
	}
}
