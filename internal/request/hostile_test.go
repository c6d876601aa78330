package request_test

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// plain is the form of a bridge's name that nft, sysctl and paths take as it is.
var plain = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,14}$`)

// FuzzNames: whatever a network, a bridge of another plugin, a container or an option is called, the names in the rules
// of a network are plain.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"cni0", "br\" ; flush ruleset ; #", "br\n", "\x1b[2J", "a{}", "$x", "mcp-secure", "brücke", "0br", "-o"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		options := map[string]string{policy.KeyGateway: "172.20.0.100:8080"}
		made := request.CNIInterface{Host: name, Bridge: name, MTU: 1500, Addrs: []netip.Prefix{netip.MustParsePrefix("172.20.0.7/16")}}
		named := map[string]string{policy.KeyGateway: "172.20.0.100:8080", policy.KeyBridge: name}
		for what, words := range map[string]request.NetworkWords{
			"existing": made.On(request.NetworkWords{Surface: surface.CNI, ID: name, Name: name, Options: options}),
			"option": {Surface: surface.Docker, ID: "n", Name: name, Options: named, Subnet: netip.MustParsePrefix("172.20.0.0/16"),
				BridgeAddr: netip.MustParseAddr("172.20.0.1")},
		} {
			n, err := words.Network()
			if err != nil {
				continue
			}
			if !plain.MatchString(n.Bridge) && len(n.Bridge) <= 15 {
				t.Errorf("%s: a bridge called %q is accepted", what, n.Bridge)
			}
			n.Bridge = "mcp-secure" // what is left of the name must not matter
			text := firewall.CompileNetwork(n, firewall.Features{}).LoadText() + firewall.CompileHost(n).LoadText()
			e := topology.Endpoint{ID: name, NetworkID: n.ID, Owner: topology.OwnerCNI, Role: topology.RoleServer, Container: name, Reason: name,
				IP: netip.MustParseAddr("172.20.0.9"), MAC: topology.MACFor("n", netip.MustParseAddr("172.20.0.9"))}
			text += firewall.CompileEndpoint(n, e, firewall.Features{}).Text()
			if shown := n.DisplayName(); strings.ContainsAny(shown, "\x1b\n") {
				t.Errorf("%s: shown as %q", what, shown)
			}
			n.Name, e.Container, e.Reason = "x", "x", "x"
			other := firewall.CompileNetwork(n, firewall.Features{}).LoadText() + firewall.CompileHost(n).LoadText() +
				firewall.CompileEndpoint(n, e, firewall.Features{}).Text()
			if text != other {
				t.Errorf("%s: the name %q is in the rules:\n%s", what, name, text)
			}
		}
	})
}
