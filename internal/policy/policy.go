package policy

import (
	"net/netip"
	"slices"
)

// DNS says which names, beyond those of containers on the network, a server
// can resolve.
type DNS string

// The values of DNS.
const (
	DNSOff     DNS = "off"     // no query of a server leaves the host
	DNSGateway DNS = "gateway" // a server may ask the gateway
	DNSFilter  DNS = "filter"  // a server resolves the names of Policy.Allow, and no others
)

// Log says which of a server's connections are reported.
type Log string

// The values of Log.
const (
	LogOff    Log = "off"
	LogDenied Log = "denied"
	LogAll    Log = "all"
)

// Mode says what happens to a connection that the policy denies.
type Mode string

// The values of Mode.
const (
	ModeEnforce Mode = "enforce" // it is denied
	ModeAudit   Mode = "audit"   // it is reported as one that would be denied
)

// Firewall says which of the host's packet filters carry rules.
type Firewall string

// The values of Firewall.
const (
	FirewallAuto     Firewall = "auto"     // nftables, and iptables where the host has it
	FirewallNFTables Firewall = "nftables" // the host's iptables are left alone
)

// Policy is what one network permits. It is persisted as JSON and survives the
// round trip unchanged.
type Policy struct {
	Gateways []Gateway    `json:"gateways"`          // the tuples servers may connect to, in the order given, no duplicates
	Connect  Connect      `json:"connect"`           // what a gateway may open towards servers
	Egress   Egress       `json:"egress"`            // what a gateway may open outside the network
	EgressTo Destinations `json:"egressTo,omitzero"` // where that may lead
	Allow    Allow        `json:"allow,omitempty"`   // what servers may reach beside their gateways
	DNS      DNS          `json:"dns"`               // names a server can resolve
	Log      Log          `json:"log"`               // what is reported
	Mode     Mode         `json:"mode"`              // what happens to a denied connection
	Caps     Caps         `json:"caps"`              // what a server's process may hold at most
	CapsMode CapsMode     `json:"capsMode"`          // what happens to an endpoint whose container holds more
	Firewall Firewall     `json:"firewall"`          // which packet filters carry rules
	Bridge   string       `json:"bridge,omitempty"`  // interface name of the bridge; empty: the engine chooses
	MTU      int          `json:"mtu"`               // bytes, 576 to 65535
}

// Defaults returns the policy of a network for which nothing is set. It has no
// gateway, which Parse requires.
func Defaults() Policy {
	return Policy{
		Connect:  Connect{Any: true},
		Egress:   Egress{Ports: []Port{{TCP, 443}, {TCP, 80}}, DNS: true},
		DNS:      DNSOff,
		Log:      LogDenied,
		Mode:     ModeEnforce,
		Caps:     DefaultCaps,
		CapsMode: CapsGuard,
		Firewall: FirewallAuto,
		MTU:      1500,
	}
}

// GatewayAddrs returns the distinct addresses of the gateways in order of
// first appearance, nil if there are none.
func (p Policy) GatewayAddrs() []netip.Addr {
	var addrs []netip.Addr
	for _, g := range p.Gateways {
		if !slices.Contains(addrs, g.Addr) {
			addrs = append(addrs, g.Addr)
		}
	}
	return addrs
}

// IsGateway reports whether a is the address of a gateway. Holding the address
// does not make an endpoint a gateway; see Role.
func (p Policy) IsGateway(a netip.Addr) bool {
	return slices.ContainsFunc(p.Gateways, func(g Gateway) bool { return g.Addr == a })
}
