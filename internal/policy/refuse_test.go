package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
)

// refusal is what a test expects of one problem; Accepted is checked by the
// golden messages.
type refusal struct{ Key, Value, Reason, Nearest string }

func refusals(t *testing.T, err error) []refusal {
	t.Helper()
	var problems problem.List
	if !errors.As(err, &problems) {
		t.Fatalf("error %v (%T), want a problem.List", err, err)
	}
	var got []refusal
	for _, p := range problems {
		got = append(got, refusal{p.Key, p.Value, p.Reason, p.Nearest})
	}
	return got
}

const (
	later    = "known, not supported in this version"
	badPort  = "the port must be a number from 1 to 65535"
	notLower = "values are written in lower case"
	noPlace  = "is neither public, any, an address nor a prefix such as 10.1.0.0/16"
	badWord  = "not one of the accepted values"
	badCase  = "values are written in lower case, without spaces"
	badProto = "the protocol must be tcp or udp"
	badForm  = "not of the form tcp/PORT or udp/PORT"
	empty    = "the value is empty"
	twice    = "given twice"
	hole     = "the list has an empty item"
)

// TestParseRefusesValue covers wrong values of supported keys; item is the
// part of the value that is to blame, "" where it is the whole.
func TestParseRefusesValue(t *testing.T) {
	const noUDP = "udp is not accepted: a gateway opens only TCP connections to servers"
	const chars = "only the letters A to Z and a to z, digits and the characters _ . - are accepted"
	const taken = "this name is taken by the system or by Docker"
	const wire = "names that begin with mcpw are reserved for the wires of servers"
	tests := []struct{ key, value, item, reason, nearest string }{
		{policy.KeyGateway, "172.20.0.100", "", "the port is missing", ""},
		{policy.KeyGateway, "172.20.0.100/tcp", "", "the port is missing", ""},
		{policy.KeyGateway, ":8080", "", "the address is missing", ""},
		{policy.KeyGateway, "172.20.0.100:", "", badPort, ""},
		{policy.KeyGateway, "172.20.0.100:0", "", badPort, ""},
		{policy.KeyGateway, "172.20.0.100:65536", "", badPort, ""},
		{policy.KeyGateway, "172.20.0.100:080", "", badPort, ""},
		{policy.KeyGateway, "172.20.0.100:+80", "", badPort, ""},
		{policy.KeyGateway, "172.20.0.100:80-90", "", badPort, ""},
		{policy.KeyGateway, "172.20.0.100: 80", "", badPort, ""},
		{policy.KeyGateway, "172.20.0.100:80/sctp", "", badProto, ""},
		{policy.KeyGateway, "172.20.0.100:80/", "", badProto, "172.20.0.100:80"},
		{policy.KeyGateway, "172.20.0.100:80/TCP", "", badProto, "172.20.0.100:80/tcp"},
		{policy.KeyGateway, "172.20.0.0/16", "", "a gateway is one address and one port, not a range", ""},
		{policy.KeyGateway, "http://172.20.0.100:80/", "", "a URL is not accepted", "172.20.0.100:80"},
		{policy.KeyGateway, "http://gw/", "", "a URL is not accepted", ""},
		{policy.KeyGateway, "172.020.0.100:80", "", "not an IPv4 address", ""},
		{policy.KeyGateway, "172.20.0:80", "", "not an IPv4 address", ""},
		{policy.KeyGateway, "172.20.0.256:80", "", "not an IPv4 address", ""},
		{policy.KeyGateway, "[172.20.0.100]:80", "", "not an IPv4 address", "172.20.0.100:80"},
		{policy.KeyGateway, "gw:80", "", "an address is needed, not a name", ""},
		{policy.KeyGateway, "172.20.0.1%eth0:80", "", "an address is needed, not a name", ""},
		{policy.KeyGateway, "host:80", "", "a gateway on the host is " + later, ""},
		{policy.KeyGateway, "[fd00::1]:80", "", "IPv6 is " + later, ""},
		{policy.KeyGateway, "[fe80::1%eth0]:80/tcp", "", "IPv6 is " + later, ""},
		{policy.KeyGateway, "fd00::1", "", "IPv6 is " + later, ""},
		{policy.KeyGateway, "[::ffff:172.20.0.1]:80", "", "IPv6 is " + later, ""},
		{policy.KeyGateway, "0.0.0.0:80", "", "the unspecified address cannot be a gateway", ""},
		{policy.KeyGateway, "127.0.0.1:80", "", "a loopback address cannot be a gateway", ""},
		{policy.KeyGateway, "224.0.0.1:80", "", "a multicast address cannot be a gateway", ""},
		{policy.KeyGateway, "169.254.169.254:80", "", "a link-local address cannot be a gateway", ""},
		{policy.KeyGateway, "255.255.255.255:80", "", "the broadcast address cannot be a gateway", ""},
		{policy.KeyGateway, "10.0.0.1:80,", "", hole, ""},
		{policy.KeyGateway, ",,", "", hole, ""},
		{policy.KeyGateway, "10.0.0.1:80, 10.0.0.1:80", "10.0.0.1:80", twice, ""},
		{policy.KeyGateway, "10.0.0.1:80,10.0.0.1:80/tcp", "10.0.0.1:80/tcp", twice, ""},

		{policy.KeyConnect, "on", "", badForm, ""},
		{policy.KeyConnect, "TCP", "", notLower, "tcp"},
		{policy.KeyConnect, "Off", "", notLower, "off"},
		{policy.KeyConnect, "udp", "", noUDP, ""},
		{policy.KeyConnect, "udp/53", "", noUDP, ""},
		{policy.KeyConnect, "tcp/3000,udp/53", "udp/53", noUDP, ""},
		{policy.KeyConnect, "tcp,tcp/3000", "tcp", "tcp means every TCP port and stands alone", ""},
		{policy.KeyConnect, "tcp/3000,off", "off", "off stands alone", ""},
		{policy.KeyConnect, "3000", "", badForm, "tcp/3000"},
		{policy.KeyConnect, "3000/tcp", "", badForm, "tcp/3000"},
		{policy.KeyConnect, "tcp:3000", "", badForm, "tcp/3000"},
		{policy.KeyConnect, "TCP/3000", "", badProto, "tcp/3000"},
		{policy.KeyConnect, "tcp/0", "", badPort, ""},
		{policy.KeyConnect, "tcp/3000,tcp/3000", "tcp/3000", twice, ""},
		{policy.KeyConnect, "tcp/3000,", "", hole, ""},
		{policy.KeyConnect, "dns", "", badForm, ""},

		{policy.KeyEgress, "tcp", "", "the port is missing", ""},
		{policy.KeyEgress, "udp", "", "the port is missing", ""},
		{policy.KeyEgress, "DNS", "", notLower, "dns"},
		{policy.KeyEgress, "off,dns", "off", "off stands alone", ""},
		{policy.KeyEgress, "dns,dns", "dns", twice, ""},
		{policy.KeyEgress, "dns,udp/53", "udp/53", "given twice: dns includes it", ""},
		{policy.KeyEgress, "tcp/443,443/tcp", "443/tcp", badForm, "tcp/443"},
		{policy.KeyEgress, "icmp/8", "", badProto, ""},
		{policy.KeyEgress, "tcp/443,tcp/443", "tcp/443", twice, ""},
		{policy.KeyEgress, "tcp/70000", "", badPort, ""},

		{policy.KeyEgressTo, "Public", "", notLower, "public"},
		{policy.KeyEgressTo, "public,any", "any", "any stands alone", ""},
		{policy.KeyEgressTo, "publik", "", noPlace, "public"},
		{policy.KeyEgressTo, "example.com", "", noPlace, ""},
		{policy.KeyEgressTo, "10.0.0.1/8", "", "has bits beyond its length", "10.0.0.0/8"},
		{policy.KeyEgressTo, "0.0.0.0/0", "", "is every address", "any"},
		{policy.KeyEgressTo, "fd00::/8", "", "is not IPv4: egress is IPv4 only", ""},
		{policy.KeyEgressTo, "fd00::1", "", noPlace, ""},
		{policy.KeyEgressTo, "10.0.0.0/8,10.0.0.0/8", "10.0.0.0/8", twice, ""},
		{policy.KeyEgressTo, "public,", "", hole, ""},
		{policy.KeyEgressTo, "10.0.0.0/33", "", noPlace, ""},

		{policy.KeyDNS, "filter", "", "the filter answers names of mcpnet.allow, and that has none", ""},
		{policy.KeyDNS, "9.9.9.9", "", "resolver addresses are " + later, ""},
		{policy.KeyDNS, "9.9.9.9, 2620:fe::fe", "", "resolver addresses are " + later, ""},
		{policy.KeyDNS, "gatway", "", badWord, "gateway"},
		{policy.KeyDNS, "true", "", badWord, ""},
		{policy.KeyLog, "Denied", "", badCase, "denied"},
		{policy.KeyLog, " all", "", badCase, "all"},
		{policy.KeyLog, strings.Repeat("x", 100), "", badWord, ""},
		{policy.KeyMode, "enforced", "", badWord, "enforce"},
		{policy.KeyMode, "off", "", badWord, ""},
		{policy.KeyFirewall, "iptables", "", badWord, "nftables"},
		{policy.KeyFirewall, "nftable", "", badWord, "nftables"},

		{policy.KeyBridge, "mcp-secure-123456", "", "longer than 15 bytes", ""},
		{policy.KeyBridge, "0br", "", "must begin with a letter", ""},
		{policy.KeyBridge, "a/b", "", chars, ""},
		{policy.KeyBridge, "br%d", "", chars, ""},
		{policy.KeyBridge, "br*", "", chars, ""},
		{policy.KeyBridge, "brü", "", chars, ""},
		{policy.KeyBridge, ".", "", "must begin with a letter", ""},
		{policy.KeyBridge, "..", "", "must begin with a letter", ""},
		{policy.KeyBridge, "mcpw", "", wire, ""},
		{policy.KeyBridge, "mcpwire0", "", wire, ""},
		{policy.KeyBridge, "all", "", taken, ""},
		{policy.KeyBridge, "default", "", taken, ""},
		{policy.KeyBridge, "lo", "", taken, ""},
		{policy.KeyBridge, "docker0", "", taken, ""},
		{policy.KeyBridge, "docker_gwbridge", "", taken, ""},

		{policy.KeyMTU, "575", "", "not a number of bytes from 576 to 65535", ""},
		{policy.KeyMTU, "65536", "", "not a number of bytes from 576 to 65535", ""},
		{policy.KeyMTU, "01500", "", "not a number of bytes from 576 to 65535", ""},
		{policy.KeyMTU, "1500 ", "", "not a number of bytes from 576 to 65535", ""},
		{policy.KeyMTU, "99999999999999999999", "", "not a number of bytes from 576 to 65535", ""},
	}
	for _, tt := range tests {
		t.Run(tt.key+"="+tt.value, func(t *testing.T) {
			got, err := policy.Parse(with(tt.key, tt.value))
			item := tt.item
			if item == "" {
				item = tt.value
			}
			want := []refusal{{tt.key, item, tt.reason, tt.nearest}}
			if diff := cmp.Diff(want, refusals(t, err)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(policy.Policy{}, got, exact); diff != "" {
				t.Errorf("a policy came with the error: %s", diff)
			}
		})
	}
}

func TestParseRefusesEveryEmptyValue(t *testing.T) {
	for _, doc := range policy.Doc() {
		parse := func(options map[string]string) error {
			_, err := policy.Parse(with(doc.Key, options[doc.Key]))
			return err
		}
		if doc.Endpoint {
			parse = func(options map[string]string) error { _, err := policy.ParseEndpoint(options); return err }
		}
		for _, value := range []string{"", " ", "\t\n"} {
			want := []refusal{{doc.Key, "", empty, ""}}
			if diff := cmp.Diff(want, refusals(t, parse(map[string]string{doc.Key: value}))); diff != "" {
				t.Errorf("%s=%q: %s", doc.Key, value, diff)
			}
		}
	}
}
