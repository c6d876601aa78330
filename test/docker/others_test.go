package docker_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// others are networks of Docker's own on the same host. What they close to an ordinary container of another network is
// closed to a gateway, also to one whose egress may lead to private addresses. So is a port that the host publishes,
// whatever its number is behind the translation, and what an administrator's rule in DOCKER-USER drops.
func (l *lab) others() {
	open := "others-ordinary" // the one that Docker protects least
	kinds := map[string][]string{"internal": {"--internal"}, "ordinary": nil}
	if !l.is("20.10") {
		const mode = "com.docker.network.bridge.gateway_mode_ipv4="
		kinds["routed"] = []string{"-o", mode + "routed"}
		open = "others-unprotected"
		l.MustDocker("network", "create", "-o", mode+"nat-unprotected", open)
		l.MustDocker(serveArgs(open, "80", "--network", open)...)
	}
	any := l.segment("others-any", "172.33", "-o", "mcpnet.gateway.egress=tcp/80,tcp/8088,dns", "-o", "mcpnet.gateway.egress.to=any")
	public := l.segment("others-public", "172.34")
	gateway := any.gateway("8080")
	var shut []string
	for kind, args := range kinds {
		name := "others-" + kind
		l.MustDocker(slices.Concat([]string{"network", "create"}, args, []string{name})...)
		l.MustDocker(serveArgs(name, "80", "--network", name)...)
		l.MustDocker(serveArgs(name+"-peer", "80", "--network", name)...)
		to := l.addressOn(name, name) + ":80"
		l.connects(name+"-peer", to) // control
		shut = append(shut, to)
	}
	l.closed(gateway, shut...)
	l.refused(public.gateway("8080"), l.addressOn(open, open)+":80")
	l.MustDocker(serveArgs("others-published", "80", "--network", "others-ordinary", "-p", "8088:80")...)
	host := netip.AddrPortFrom(testnet.HostAddr, 8088).String()
	l.answers("8088", true) // control
	l.refused(gateway, host)

	internet := testnet.InternetHost.String()
	l.connects(gateway, internet+":80")
	for _, rule := range l.administrators("ip daddr "+internet+" drop", "-d "+internet+" -j DROP") {
		l.host("sh", "-c", rule.add)
		l.closed(gateway, internet+":80")
		l.host("sh", "-c", rule.remove)
		l.connects(gateway, internet+":80")
	}
}

// administratorRule is a rule about forwarded packets, as shell lines.
type administratorRule struct{ add, remove string }

// administrators are the places of an administrator's rule: a table of nftables, before Docker's rules and after them, and
// DOCKER-USER, which Docker's nftables backend does not have.
func (l *lab) administrators(nft, iptables string) (rules []administratorRule) {
	for _, priority := range []string{"-20", "20"} {
		const table = "table inet administrator"
		rules = append(rules, administratorRule{
			"nft '" + table + " { chain forward { type filter hook forward priority " + priority + "; " + nft + "; }; }'",
			"nft delete " + table})
	}
	if l.nftables() {
		return rules
	}
	const user = "iptables -w %s DOCKER-USER %s"
	return append(rules, administratorRule{fmt.Sprintf(user, "-I", iptables), fmt.Sprintf(user, "-D", iptables)})
}

// nftables tells whether Docker's own rules are in nftables.
func (l *lab) nftables() bool {
	l.t.Helper()
	return strings.Contains(l.host("nft", "list", "tables", "ip"), "docker-bridges")
}

// addressOn is a container's address on a network.
func (l *lab) addressOn(container, network string) string {
	l.t.Helper()
	return l.MustDocker("inspect", "--format", `{{(index .NetworkSettings.Networks "`+network+`").IPAddress}}`, container)
}

// closed are connections that the host's own rules keep from coming about, at once or in silence: all are tried at the
// same time.
func (l *lab) closed(from string, targets ...string) {
	l.t.Helper()
	var tries sync.WaitGroup
	for _, target := range targets {
		tries.Go(func() {
			if a, err := l.try(from, "/bin/peer", "tcp", target); err != nil || a.Answered {
				l.t.Errorf("%s → %s: %+v %v, want no answer", from, target, a, err)
			}
		})
	}
	tries.Wait()
}
