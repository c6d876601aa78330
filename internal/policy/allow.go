package policy

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// defaultAllowPort is the port of a target that names none.
var defaultAllowPort = Port{TCP, 443}

// Target is what servers may reach beside their gateways: addresses, or a name.
type Target struct {
	Prefix netip.Prefix `json:"prefix,omitzero"` // IPv4, masked; zero where Name is set
	Name   Name         `json:"name,omitempty"`
	Port   Port         `json:"port"`
}

// Allow is a list of targets, in the order given, without duplicates.
type Allow []Target

// String returns the form that options have: "198.51.100.0/24:5432/tcp", "198.51.100.7:53/udp", "api.github.com:443".
func (t Target) String() string {
	host := string(t.Name)
	if t.Prefix.IsValid() {
		host = strings.TrimSuffix(t.Prefix.String(), "/32")
	}
	if t.Name != "" && t.Port.Protocol == TCP {
		return fmt.Sprintf("%s:%d", host, t.Port.Number)
	}
	return fmt.Sprintf("%s:%d/%s", host, t.Port.Number, t.Port.Protocol)
}

// String returns the form that the option has.
func (a Allow) String() string {
	if len(a) == 0 {
		return off
	}
	return join(a)
}

// HasNames reports whether servers may reach something by its name.
func (p Policy) HasNames() bool { return len(p.Allow.Names()) > 0 }

// MarshalJSON writes an empty list as one: null would be read as no list, which stands for all of the network's.
func (a Allow) MarshalJSON() ([]byte, error) {
	return json.Marshal(append([]Target{}, a...))
}

// Names returns the targets that are names.
func (a Allow) Names() Allow {
	return slices.DeleteFunc(slices.Clone(a), func(t Target) bool { return t.Name == "" })
}

// parseAllow reads what Allow.String writes. A target that names no port has defaultAllowPort.
func parseAllow(value string) (Allow, problem.List) {
	if strings.TrimSpace(value) == off {
		return nil, nil
	}
	list, problems := parseList(value, parseTarget)
	if n := len(Allow(list).Names()); n > maxNames {
		problems = append(problems, problem.Problem{Value: fmt.Sprintf("%d names", n),
			Reason: fmt.Sprintf("more than %d names: use wildcards or prefixes", maxNames)})
	}
	return list, problems
}

// parseTarget reads "cidr[:port[/proto]]" or "name[:port]".
func parseTarget(item string) (Target, problem.List) {
	t, reasons := splitTarget(item)
	var problems problem.List
	for _, r := range reasons {
		problems = append(problems, problem.Problem{Value: item, Reason: r, Nearest: nearestTarget(item)})
	}
	if len(problems) > 0 {
		return Target{}, problems
	}
	return t, nil
}

// splitTarget is parseTarget without a suggestion. The host and the port are judged each for itself.
func splitTarget(item string) (Target, []string) {
	switch {
	case item == off:
		return Target{}, []string{"off stands alone"}
	case strings.Contains(item, "://"):
		return Target{}, []string{"a URL is not accepted: a name and a port are"}
	case isIPv6(item) || strings.Count(item, ":") > 1:
		return Target{}, []string{noIPv6}
	}
	host, port, hasPort := strings.Cut(item, ":")
	t := Target{Port: defaultAllowPort}
	var reasons []string
	if hasPort {
		t.Port, reasons = splitTargetPort(port)
	}
	if looksLikeAddr(host) {
		var reason string
		t.Prefix, reason = targetPrefix(host)
		return t, appendReason(reasons, reason)
	}
	t.Name = Name(host)
	if t.Port.Protocol == UDP {
		reasons = append(reasons, "a name is for TCP: UDP needs an address")
	}
	return t, appendReason(reasons, t.Name.wrong())
}

// splitTargetPort reads "443" or "443/tcp".
func splitTargetPort(s string) (Port, []string) {
	number, protocol, hasProtocol := strings.Cut(s, "/")
	if !hasProtocol {
		protocol = string(TCP)
	}
	n, ok := parseNumber(number, 1, 65535)
	var reasons []string
	if !ok {
		reasons = append(reasons, badPort)
	}
	if !validProtocol(protocol) {
		reasons = append(reasons, badProtocol)
	}
	return Port{Protocol(protocol), uint16(n)}, reasons
}

// looksLikeAddr reports whether an item was meant as an address or a prefix: no top-level domain is a number (RFC 3696,
// 2).
func looksLikeAddr(host string) bool {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	last := labels[len(labels)-1]
	return strings.Contains(host, "/") || last != "" && strings.Trim(last, "0123456789") == ""
}

// neverRouted are the prefixes that lead to no other machine, or to many.
var neverRouted = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("224.0.0.0/3")}

// targetPrefix reads an address or a prefix; the reason is empty on success.
func targetPrefix(host string) (netip.Prefix, string) {
	p, err := netip.ParsePrefix(host)
	if a, single := netip.ParseAddr(host); single == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	inside := func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }
	switch {
	case err != nil:
		return p, "is neither an address nor a prefix such as 198.51.100.0/24"
	case !p.Addr().Is4():
		return p, noIPv6
	case p != p.Masked():
		return p, "has bits beyond its length"
	case NamePool.Bits() <= p.Bits() && NamePool.Contains(p.Addr()):
		return p, "is of " + NamePool.String() + ", which stands for names"
	case p.Bits() > 0 && slices.ContainsFunc(neverRouted, inside):
		return p, "leads to no other machine: loopback, unspecified, multicast and reserved addresses are not routed"
	case !p.IsSingleIP() && slices.ContainsFunc(Metadata, inside):
		return p, "is of metadata services, which only an exact address opens"
	}
	return p, ""
}

// nearestTarget guesses what was meant by a URL, another case, a last dot or bits beyond a prefix's length.
func nearestTarget(item string) string {
	guess := strings.ToLower(item)
	for scheme, port := range map[string]string{"https://": "", "http://": ":80"} {
		if rest, found := strings.CutPrefix(guess, scheme); found {
			host, _, _ := strings.Cut(rest, "/")
			if !strings.Contains(host, ":") {
				host += port
			}
			guess = host
		}
	}
	host, port, hasPort := strings.Cut(guess, ":")
	host = strings.TrimSuffix(host, ".")
	if p, err := netip.ParsePrefix(host); err == nil {
		host = p.Masked().String()
	} else if ascii, err := asciiName(host); err == nil {
		host = ascii
	}
	if guess = host; hasPort {
		guess += ":" + port
	}
	if _, reasons := splitTarget(guess); guess != item && len(reasons) == 0 {
		return guess
	}
	return ""
}

// NamePool are the synthetic addresses of names (RFC 2544; no host of the internet has one). Each network has all of
// them to itself, since they mean something in its namespace only.
var NamePool = netip.MustParsePrefix("198.18.0.0/15")

// Metadata are the prefixes of cloud metadata services and the like, which only an exact address in a list opens (P7).
var Metadata = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("192.0.0.192/32"),
}

// Span is a range of addresses that is open on a port.
type Span struct {
	netipx.IPRange
	Port Port
}

// Spans are the addresses that the list opens: disjoint for each port, in order. A prefix opens what of it is public.
// Private, shared and link-local addresses are opened by an entry that lies within them, those of metadata services by
// one that is the address itself (P7).
func (a Allow) Spans() (spans []Span) {
	for _, port := range a.ports() {
		for _, r := range a.on(port).Ranges() {
			spans = append(spans, Span{r, port})
		}
	}
	return spans
}

// ports are those of the list's prefixes, in the order given.
func (a Allow) ports() (ports []Port) {
	for _, t := range a {
		if t.Prefix.IsValid() && !slices.Contains(ports, t.Port) {
			ports = append(ports, t.Port)
		}
	}
	return ports
}

// on are the addresses that the list opens on a port.
func (a Allow) on(port Port) *netipx.IPSet {
	var all netipx.IPSetBuilder
	for _, t := range a {
		if t.Prefix.IsValid() && t.Port == port {
			all.AddSet(opens(t.Prefix))
		}
	}
	return built(&all)
}

// opens are the addresses that one prefix opens.
func opens(p netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	b.AddPrefix(p)
	for _, closed := range slices.Concat(NotPublic, Metadata) {
		written := closed.Bits() <= p.Bits() && closed.Contains(p.Addr())
		if !written || isMetadata(closed) && !p.IsSingleIP() {
			b.RemovePrefix(closed)
		}
	}
	return built(&b)
}

func isMetadata(p netip.Prefix) bool { return slices.Contains(Metadata, p) }

// built is the set of a builder. It fails only on prefixes that are invalid, and those of a list are not.
func built(b *netipx.IPSetBuilder) *netipx.IPSet {
	set, err := b.IPSet()
	if err != nil {
		panic(fmt.Sprintf("policy: %v", err))
	}
	return set
}

// Written are the single addresses of the list: only those are opened even where they are the host's own or of a
// metadata service.
func (a Allow) Written() (out Allow) {
	return slices.DeleteFunc(
		slices.Clone(a),
		func(t Target) bool { return !t.Prefix.IsValid() || !t.Prefix.IsSingleIP() },
	)
}

// Holds reports whether an entry that is a prefix opens an address, on whatever port: a name may then lead there, also
// where the address is private.
func (a Allow) Holds(addr netip.Addr) bool {
	return slices.ContainsFunc(a.ports(), func(p Port) bool { return a.on(p).Contains(addr) })
}

// Opens reports whether an entry that is a prefix opens an address on a port.
func (a Allow) Opens(addr netip.Addr, port Port) bool { return a.on(port).Contains(addr) }

// Writes reports whether an entry is that one address and port.
func (a Allow) Writes(addr netip.Addr, port Port) bool {
	return slices.ContainsFunc(a.Written(), func(t Target) bool { return t.Prefix.Addr() == addr && t.Port == port })
}

// maxNames bounds the names of a list: each server's resolver asks for them.
const maxNames = 1000

// IsPublic reports whether an address is one of the internet's.
func IsPublic(addr netip.Addr) bool {
	closed := func(p netip.Prefix) bool { return p.Contains(addr) }
	return addr.Is4() && !slices.ContainsFunc(NotPublic, closed) && !slices.ContainsFunc(Metadata, closed)
}

// Beyond returns the targets of the list that another one does not open wholly.
func (a Allow) Beyond(network Allow) (out Allow) {
	for _, t := range a {
		if !network.covers(t) {
			out = append(out, t)
		}
	}
	return out
}

func (a Allow) covers(t Target) bool {
	if t.Name != "" {
		return slices.ContainsFunc(a, func(have Target) bool { return have.Port == t.Port && have.Name.covers(t.Name) })
	}
	open := a.on(t.Port)
	return !slices.ContainsFunc(opens(t.Prefix).Ranges(), func(r netipx.IPRange) bool { return !open.ContainsRange(r) })
}
