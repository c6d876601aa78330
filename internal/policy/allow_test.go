package policy_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
)

func allow(t *testing.T, value string) policy.Allow {
	t.Helper()
	p, err := policy.Parse(map[string]string{policy.KeyAllow: value})
	if err != nil {
		t.Fatal(err)
	}
	return p.Allow
}

// TestAllowAccepts: what is accepted, and the one form that options have of it.
func TestAllowAccepts(t *testing.T) {
	for value, want := range map[string]string{
		"api.github.com":                       "api.github.com:443",
		"git.example.com:22":                   "git.example.com:22",
		"git.example.com:22/tcp":               "git.example.com:22",
		"*.slack.com,_dmarc.example.com:80":    "*.slack.com:443,_dmarc.example.com:80",
		"xn--bcher-kva.example":                "xn--bcher-kva.example:443",
		"*.example.co.uk":                      "*.example.co.uk:443",
		"github.io":                            "github.io:443", // one host, though everybody can have a name below it
		"203.0.113.7":                          "203.0.113.7:443/tcp",
		"203.0.113.7/32:53/udp":                "203.0.113.7:53/udp",
		" 198.51.100.0/24:5432 , 0.0.0.0/0:80": "198.51.100.0/24:5432/tcp,0.0.0.0/0:80/tcp",
		"10.0.0.0/8:5432":                      "10.0.0.0/8:5432/tcp",
		"169.254.169.254:80":                   "169.254.169.254:80/tcp",
	} {
		if got := allow(t, value).String(); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

// TestAllowRefuses: what is refused, why, and what was probably meant.
func TestAllowRefuses(t *testing.T) {
	const everybody = "everybody can have a name below "
	for value, want := range map[string][2]string{
		"*":                        {"is every name", ""},
		"*.com":                    {everybody, ""},
		"*.co.uk":                  {everybody, ""},
		"*.github.io":              {everybody, ""},
		"a.*.com":                  {"a wildcard stands alone", ""},
		"localhost":                {"is no full name", ""},
		"API.github.com":           {"lower case", "api.github.com"},
		"api.github.com.":          {"last dot", "api.github.com"},
		"bücher.example":           {"is no name of a host", "xn--bcher-kva.example"},
		"api.github.com/v1":        {"is neither an address nor a prefix", ""},
		"https://api.github.com":   {"a URL", "api.github.com"},
		"http://api.github.com/v1": {"a URL", "api.github.com:80"},
		"api.github.com:0":         {"the port must be", ""},
		"api.github.com:https":     {"the port must be", ""},
		"api.github.com:53/udp":    {"a name is for TCP", ""},
		"203.0.113.7:443/sctp":     {"the protocol must be", ""},
		"-a.example.com":           {"is no name of a host", ""},
		"@npm":                     {"presets are", ""},
		"2001:db8::1":              {"IPv6", ""},
		"[2001:db8::1]:443":        {"IPv6", ""},
		"203.0.113.7/24":           {"bits beyond", "203.0.113.0/24"},
		"300.1.1.1":                {"is neither an address nor a prefix", ""},
		"127.0.0.1":                {"leads to no other machine", ""},
		"224.0.0.1:80":             {"leads to no other machine", ""},
		"169.254.0.0/16":           {"which only an exact address opens", ""},
		"198.18.0.1":               {"which stands for names", ""},
		"off,203.0.113.7":          {"off stands alone", ""},
		"203.0.113.7,203.0.113.7":  {"given twice", ""},
	} {
		_, err := policy.Parse(with(policy.KeyAllow, value))
		if err == nil || !strings.Contains(err.Error(), want[0]) || !strings.Contains(err.Error(), policy.KeyAllow) {
			t.Errorf("%q: %v, want a reason that says %q", value, err, want[0])
		}
		if meant := "did you mean " + want[1]; (want[1] != "") != strings.Contains(fmt.Sprint(err), "did you mean") ||
			want[1] != "" && !strings.Contains(err.Error(), meant+"?") {
			t.Errorf("%q: %v, want %q", value, err, meant)
		}
	}
}

// TestSpans: a prefix opens what of it is public; private space, metadata and the like only where an entry writes them
// (P7), and never the synthetic addresses of names.
func TestSpans(t *testing.T) {
	for value, c := range map[string]struct{ open, closed string }{
		"0.0.0.0/0:80": {"1.1.1.1 203.0.113.7 172.15.0.1 168.63.129.15",
			"10.1.2.3 172.16.0.1 192.168.1.1 100.64.0.1 169.254.169.254 168.63.129.16 127.0.0.1 0.0.0.1 224.0.0.1 255.255.255.255 198.18.0.1"},
		"10.0.0.0/8:80":                     {"10.1.2.3", "11.0.0.1 9.255.255.255"},
		"10.1.2.3:80":                       {"10.1.2.3", "10.1.2.4"},
		"100.64.0.0/10:80":                  {"100.64.0.1", "100.100.100.200"},
		"8.0.0.0/5:80":                      {"8.8.8.8 11.1.1.1", "10.1.2.3"},
		"169.254.169.254:80":                {"169.254.169.254", "169.254.169.253"},
		"0.0.0.0/0:80,10.1.0.0/16:80":       {"10.1.2.3 9.9.9.9", "10.2.0.1"},
		"api.example.com:80,203.0.113.1:80": {"203.0.113.1", "203.0.113.2"},
	} {
		spans := allow(t, value).Spans()
		for i, s := range spans {
			if i > 0 && s.Port == spans[i-1].Port && !spans[i-1].To().Less(s.From()) {
				t.Errorf("%s: %v and %v are not apart", value, spans[i-1], s)
			}
		}
		holds := func(a string) bool {
			return slices.ContainsFunc(
				spans,
				func(s policy.Span) bool { return s.Contains(netip.MustParseAddr(a)) && s.Port == tcp(80) },
			)
		}
		for want, list := range map[bool]string{true: c.open, false: c.closed} {
			for _, a := range strings.Fields(list) {
				if holds(a) != want {
					t.Errorf("%s: %s open %v, want %v", value, a, !want, want)
				}
			}
		}
	}
}

// TestBeyond: an endpoint's list narrows the network's, and never widens it.
func TestBeyond(t *testing.T) {
	network := allow(t, "*.slack.com,api.github.com,git.example.com:22,203.0.113.0/24,0.0.0.0/0:80,10.1.0.0/16:5432")
	for own, beyond := range map[string]string{
		"a.slack.com,*.b.slack.com,api.github.com": "off",
		"slack.com":                         "slack.com:443", // a wildcard holds names below it
		"*.com.slack.com,evilslack.com":     "evilslack.com:443",
		"api.github.com:80,git.example.com": "api.github.com:80,git.example.com:443",
		"*.github.com":                      "*.github.com:443",
		"203.0.113.128/25,203.0.112.0/23":   "203.0.112.0/23:443/tcp",
		"198.51.100.0/24:80,10.0.0.0/8:80":  "10.0.0.0/8:80/tcp", // private space that the network's entry leaves closed
		"10.1.2.0/24:5432,10.2.0.1:5432":    "10.2.0.1:5432/tcp",
		"203.0.113.7:443/udp":               "203.0.113.7:443/udp",
		"off":                               "off",
	} {
		e, err := policy.ParseEndpoint(map[string]string{policy.KeyAllow: own})
		if err != nil {
			t.Fatalf("%s: %v", own, err)
		}
		if got := e.Allow.Beyond(network).String(); got != beyond {
			t.Errorf("%s: %s is beyond, want %s", own, got, beyond)
		}
	}
}

// TestAllowAsDocument: an empty list stays one, and is not taken for none, which is all of the network's.
func TestAllowAsDocument(t *testing.T) {
	for _, own := range []string{"off", "api.github.com,203.0.113.0/24:53/udp"} {
		e, err := policy.ParseEndpoint(map[string]string{policy.KeyAllow: own})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back policy.Endpoint
		if err := json.Unmarshal(text, &back); err != nil || back.Allow == nil {
			t.Fatalf("%s: %s: %v", own, text, err)
		}
		if diff := cmp.Diff(e.Allow.String(), back.Allow.String()); diff != "" {
			t.Errorf("%s: %s: %s", own, text, diff)
		}
	}
}

// TestNamesAndDNS: names are answered by the filter, and by nobody else.
func TestNamesAndDNS(t *testing.T) {
	for _, c := range []struct {
		allow, dns string
		want       policy.DNS
		refused    string
	}{
		{"api.github.com", "", policy.DNSFilter, ""},
		{"api.github.com", "filter", policy.DNSFilter, ""},
		{"203.0.113.7", "", policy.DNSOff, ""},
		{"203.0.113.7", "gateway", policy.DNSGateway, ""},
		{"api.github.com", "gateway", "", "answered by the filter alone"},
		{"api.github.com", "off", "", "answered by the filter alone"},
		{"203.0.113.7", "filter", "", "and that has none"},
	} {
		options := with(policy.KeyAllow, c.allow)
		if c.dns != "" {
			options[policy.KeyDNS] = c.dns
		}
		p, err := policy.Parse(options)
		if p.DNS != c.want || (err != nil) != (c.refused != "") ||
			err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s, %s: %q, %v", c.allow, c.dns, p.DNS, err)
		}
		if err == nil {
			checkRoundTrips(t, p)
		}
	}
	p, err := policy.Parse(with(policy.KeyAllow, "api.github.com"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(
		policy.Network{Subnet: netip.MustParsePrefix("198.18.0.0/16")},
	); err == nil ||
		!strings.Contains(err.Error(), "stand for names") {
		t.Errorf("a subnet of names' addresses: %v", err)
	}
}
