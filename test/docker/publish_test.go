package docker_test

import (
	"strings"
	"time"

	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// publish gives gateways published ports (-p) on the mcpnet network itself: other machines reach them, the host too,
// and nothing on a wire does. Docker asks for it where the default route leads over that network.
func (l *lab) publish() {
	s := l.segment("publish", "10.84")
	gateway := s.gateway("8080", "-p", "18010:8080", "-p", "127.0.0.1:18011:8080")
	server := s.start("server", "3000")
	l.answers("18010", true)
	l.answers("18011", false)
	for _, to := range []string{testnet.HostAddr.String() + "/18010", "127.0.0.1/18010", "127.0.0.1/18011"} {
		if !l.fromHost(to) {
			l.t.Errorf("the host does not reach %s", to)
		}
	}
	s.refused(server, testnet.HostAddr.String()+":18010")
	s.refused(gateway, testnet.HostAddr.String()+":18010")
	l.portsNowhere()
	l.portsTaken(s)
	l.portsMove(s, gateway)
	l.MustDocker("rm", "-f", gateway)
	l.answers("18010", false)
	if rules := l.host("nft", "list", "ruleset"); strings.Contains(rules, "18010") {
		l.t.Errorf("left behind:\n%s", rules)
	}
}

// portsNowhere: without egress no default route leads over the mcpnet network, and Docker asks nobody to publish. What
// has no effect is not accepted in silence.
func (l *lab) portsNowhere() {
	l.t.Helper()
	s := l.segment("publish-off", "10.85", "-o", "mcpnet.gateway.egress=off")
	s.gateway("8080", "-p", "18014:8080")
	for range 50 {
		for _, f := range l.status().Findings {
			if f.Code == report.CodePort && strings.Contains(f.Meaning, "18014:8080") {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	l.t.Errorf("status says nothing of a port that leads nowhere: %+v", l.status().Findings)
}

// portsTaken: a port has one holder, whoever comes second is told so, and is not started.
func (l *lab) portsTaken(s segment) {
	l.t.Helper()
	if out, err := l.Docker(serveArgs("taker", "80", "-p", "18010:80")...); err == nil {
		l.t.Errorf("Docker publishes a port that the gateway has: %s", out)
	}
	l.MustDocker("rm", "-f", "taker")
	l.MustDocker(serveArgs("holder", "80", "-p", "18012:80")...)
	second := l.segment("publish-taken", "10.86")
	for want, port := range map[string]string{"is in use on this host": "18012:8080", "TCP ports only": "18013:8080/udp"} {
		out, err := l.Docker(serveArgs("refused", "8080", "--network", second.name, "--ip", second.at("0.100"), "-p", port)...)
		if err == nil || !strings.Contains(err.Error()+out, want) {
			l.t.Errorf("-p %s: %v %s; want it refused: %s", port, err, out, want)
		}
		l.MustDocker("rm", "-f", "refused")
	}
	l.answers("18012", true)
	l.MustDocker("rm", "-f", "holder")
}

// portsMove: with a second network that the default route moves to, Docker publishes there, and here again without it.
func (l *lab) portsMove(s segment, gateway string) {
	l.t.Helper()
	l.MustDocker("network", "create", "--subnet", "10.83.0.0/24", "a-mover")
	l.MustDocker("network", "connect", "a-mover", gateway)
	l.answers("18010", true)
	if via := l.defaultRoute(gateway); !strings.HasPrefix(via, "10.83.") {
		l.t.Errorf("default route over %q", via)
	}
	if rules := l.host("nft", "list", "table", "inet", "mcpnet"); strings.Contains(rules, "18010") {
		l.t.Errorf("published twice:\n%s", rules)
	}
	l.MustDocker("network", "disconnect", "a-mover", gateway)
	l.answers("18010", true)
}

// answers waits until a published port answers the internet, or does not.
func (l *lab) answers(port string, want bool) {
	l.t.Helper()
	for range 20 {
		if l.fromInternet(port) == want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	l.t.Errorf("port %s answers the internet: %v, want %v", port, !want, want)
}

func (l *lab) fromHost(to string) bool {
	_, err := l.world.Host.Output("timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/"+to)
	return err == nil
}
