package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// Gateway is one tuple that servers may connect to. A gateway with several
// open ports is several of these.
type Gateway struct {
	Addr netip.Addr `json:"addr"` // IPv4, unicast
	Port Port       `json:"port"`
}

// String returns the form that options have, "172.20.0.100:8080/tcp".
func (g Gateway) String() string {
	return fmt.Sprintf("%s:%d/%s", g.Addr, g.Port.Number, g.Port.Protocol)
}

const noIPv6 = "IPv6 is " + later

// parseGateway reads "ip:port[/tcp|udp]".
func parseGateway(s string) (Gateway, problem.List) {
	g, reasons := splitGateway(s)
	if len(reasons) == 0 {
		return g, nil
	}
	var problems problem.List
	for _, r := range reasons {
		problems = append(problems, problem.Problem{Value: s, Reason: r, Nearest: nearestGateway(s)})
	}
	return Gateway{}, problems
}

// splitGateway is parseGateway without a suggestion. Address, port and
// protocol are judged each for itself, so there can be a reason for each.
func splitGateway(s string) (Gateway, []string) {
	if strings.Contains(s, "://") {
		return Gateway{}, []string{"a URL is not accepted"}
	}
	hostPort, proto, hasProto := strings.Cut(s, "/")
	if isIPv6(hostPort) {
		return Gateway{}, []string{noIPv6}
	}
	if !hasProto {
		proto = string(TCP)
	} else if _, ok := parseNumber(proto, 0, 32); ok {
		return Gateway{}, []string{"a gateway is one address and one port, not a range"}
	}
	host, port, hasPort := strings.Cut(hostPort, ":")
	addr, reason := gatewayAddr(host)
	reasons := appendReason(nil, reason)
	n, ok := parseNumber(port, 1, 65535)
	switch {
	case !hasPort:
		reasons = append(reasons, "the port is missing")
	case !ok:
		reasons = append(reasons, badPort)
	}
	if !validProtocol(proto) {
		reasons = append(reasons, badProtocol)
	}
	return Gateway{addr, Port{Protocol(proto), uint16(n)}}, reasons
}

// gatewayAddr reads the address of a gateway; the reason is empty on success.
func gatewayAddr(host string) (netip.Addr, string) {
	if host == "" {
		return netip.Addr{}, "the address is missing"
	}
	if host == "host" {
		return netip.Addr{}, "a gateway on the host is " + later
	}
	addr, err := netip.ParseAddr(host)
	if err != nil && strings.ContainsFunc(host, unicode.IsLetter) {
		return netip.Addr{}, "an address is needed, not a name"
	}
	if err != nil {
		return netip.Addr{}, "not an IPv4 address"
	}
	return addr, notUnicast(addr)
}

// notUnicast says why an address cannot be that of a container, and nothing
// if it can.
func notUnicast(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "the unspecified address cannot be a gateway"
	case a.IsLoopback():
		return "a loopback address cannot be a gateway"
	case a.IsMulticast():
		return "a multicast address cannot be a gateway"
	case a.IsLinkLocalUnicast():
		return "a link-local address cannot be a gateway"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address cannot be a gateway"
	}
	return ""
}

// isIPv6 reports whether s is an IPv6 address, in brackets (with or without a
// port behind them) or bare.
func isIPv6(s string) bool {
	if inner, found := strings.CutPrefix(s, "["); found {
		s, _, _ = strings.Cut(inner, "]")
	}
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Is6()
}

// nearestGateway guesses what was meant by another case, brackets around an
// IPv4 address, or a URL.
func nearestGateway(s string) string {
	guess := strings.NewReplacer("http://", "", "https://", "", "[", "", "]", "").Replace(strings.ToLower(s))
	guess = strings.TrimSuffix(guess, "/")
	if _, reasons := splitGateway(guess); len(reasons) == 0 {
		return guess
	}
	return ""
}

func appendReason(reasons []string, reason string) []string {
	if reason == "" {
		return reasons
	}
	return append(reasons, reason)
}
