package docker_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestLife follows gateways and servers through what happens to them. Its parts share an engine and have a network
// each; connections that idle do so while the other parts run.
func TestLife(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, l *lab) {
		for _, port := range []uint16{22, 80, 443} {
			for _, host := range []netip.Addr{testnet.InternetHost, testnet.Metadata} {
				l.world.Internet.ServeHello(netip.AddrPortFrom(host, port))
			}
		}
		idle := l.startIdle()
		l.sub("order of start", (*lab).orderOfStart)
		l.sub("two gateways", (*lab).twoGateways)
		l.sub("gateway in the dynamic range", (*lab).gatewayInRange)
		l.sub("gateway by its role", (*lab).gatewayByRole)
		l.sub("stolen address", (*lab).stolenAddress)
		l.sub("uplink", (*lab).uplinks)
		l.sub("published ports", (*lab).publish)
		l.sub("connect", (*lab).connect)
		l.sub("egress", (*lab).egress)
		l.sub("networks of others", (*lab).others)
		l.sub("transfer", (*lab).transfer)
		l.sub("engine's view", (*lab).engineView)
		l.sub("idle", idle)
	})
}

// orderOfStart has servers there before their gateway, and keeps them while it comes and goes.
func (l *lab) orderOfStart() {
	s := l.segment("order", "172.21")
	server := s.start("server", "3000")
	target := s.at("0.100:8080")
	s.refused(server, target)
	gateway := s.gateway("8080 9090")
	s.connects(server, target)
	s.connects(gateway, server+":3000")
	s.refused(server, s.at("0.100:9090"))

	s.MustDocker("stop", gateway)
	s.refused(server, target)
	s.MustDocker("start", gateway)
	s.connects(server, target)
	s.MustDocker("restart", gateway)
	s.connects(server, target)
	s.connects(gateway, server+":3000")

	s.MustDocker("rm", "-f", gateway)
	s.refused(server, target)
	second := s.start("second", "8080", "--ip", s.at("0.100"))
	s.connects(server, target)
	s.connects(second, server+":3000")
}

func (l *lab) twoGateways() {
	const gateways = "mcpnet.gateway=172.22.0.100:8080,172.22.0.101:9000"
	l.MustDocker("network", "create", "-d", "mcpnet", "--subnet", "172.22.0.0/16", "--ip-range", "172.22.240.0/20", "-o", gateways, "two")
	s := segment{l, "two", "172.22"}
	first := s.start("first", "8080 9000", "--ip", "172.22.0.100")
	second := s.start("second", "8080 9000", "--ip", "172.22.0.101")
	server := s.start("server", "3000")
	s.connects(server, "172.22.0.100:8080")
	s.connects(server, "172.22.0.101:9000")
	s.refused(server, "172.22.0.100:9000")
	s.refused(server, "172.22.0.101:8080")
	s.connects(first, server+":3000")
	s.connects(second, server+":3000")
	// Gateways are for servers: one does not reach the other, not even at its permitted port.
	s.denied(first, "172.22.0.101:9000")
	s.denied(second, "172.22.0.100:8080")
}

// gatewayInRange asks for an address that Docker could have assigned by itself. The engine's list shows that somebody
// asked, but only after the start: too late for a default route.
func (l *lab) gatewayInRange() {
	l.MustDocker("network", "create", "-d", "mcpnet", "--subnet", "172.23.0.0/16", "-o", "mcpnet.gateway=172.23.0.100:8080", "dynamic")
	s := segment{l, "dynamic", "172.23"}
	gateway := s.gateway("8080")
	server := s.start("server", "3000")
	reason := s.endpoint(gateway, topology.RoleGateway).Reason
	if !strings.Contains(reason, "asked for") {
		s.t.Errorf("reason: %q", reason)
	}
	s.connects(server, "172.23.0.100:8080")
	s.connects(gateway, server+":3000")
	if via := s.defaultRoute(gateway); via != "" {
		s.t.Errorf("default route over %s", via)
	}
	s.refused(gateway, testnet.InternetHost.String()+":443")
}

// gatewayByRole says what the endpoint is, so that nothing has to be waited for. The command of Docker 20.10 takes the
// address apart from the options of the network.
func (l *lab) gatewayByRole() {
	l.MustDocker("network", "create", "-d", "mcpnet", "--subnet", "172.24.0.0/16", "-o", "mcpnet.gateway=172.24.0.100:8080", "role")
	s := segment{l, "role", "172.24"}
	attach := []string{"--network", "name=role,driver-opt=mcpnet.role=gateway", "--ip", "172.24.0.100"}
	if !l.is("20.10") {
		attach = []string{"--network", "name=role,ip=172.24.0.100,driver-opt=mcpnet.role=gateway"}
	}
	l.MustDocker(serveArgs("role-gateway", "8080", attach...)...)
	server := s.start("server", "3000")
	s.endpoint("role-gateway", topology.RoleGateway)
	s.connects(server, "172.24.0.100:8080")
	if via := s.defaultRoute("role-gateway"); via != "172.24.0.1" {
		s.t.Errorf("default route over %q", via)
	}
	s.connects("role-gateway", testnet.InternetHost.String()+":443")
}

// stolenAddress makes Docker hand the address of a stopped gateway to a container that did not ask for it: the subnet
// has no other left.
func (l *lab) stolenAddress() {
	l.MustDocker("network", "create", "-d", "mcpnet", "--subnet", "172.25.0.0/29", "-o", "mcpnet.gateway=172.25.0.2:8080", "small")
	s := segment{l, "small", "172.25"}
	gateway := s.start("gateway", "8080", "--ip", "172.25.0.2")
	var servers []string
	for _, name := range []string{"a", "b", "c", "d"} {
		servers = append(servers, s.start(name, "3000"))
	}
	s.connects(servers[0], "172.25.0.2:8080")
	s.MustDocker("stop", gateway)
	thief := s.start("thief", "8080 3000")

	e := s.endpoint(thief, topology.RoleCandidate)
	for range 20 {
		if strings.Contains(e.Reason, "assigned it by itself") {
			break
		}
		e = s.endpoint(thief, topology.RoleCandidate)
	}
	if e.Address != "172.25.0.2" || !strings.Contains(e.Reason, "assigned it by itself") || !strings.Contains(e.Reason, "--ip-range") {
		s.t.Errorf("status: %+v", e)
	}
	s.refused(servers[0], "172.25.0.2:8080")
	s.denied(thief, servers[0]+":3000")
	s.denied(thief, l.bridgeAddr(s.bridge()))
	s.refused(thief, testnet.InternetHost.String()+":443")
	if a := s.probe(thief, "dns", "stolen.example"); a.Answered {
		s.t.Errorf("the thief resolves names: %+v", a)
	}
	if _, err := s.Docker("start", gateway); err == nil {
		s.t.Error("the gateway starts with an address that is taken")
	}
	s.MustDocker("rm", "-f", thief)
	s.MustDocker("start", gateway)
	s.connects(servers[0], "172.25.0.2:8080")
}
