package link_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/link"
)

// TestPrepare: a namespace has its settings before any link is in it, whatever it inherited of the host's: the kernel
// copies the settings of all links into each new namespace, and takes the stricter or the laxer of two for a link.
func TestPrepare(t *testing.T) {
	s := open(t, "net")
	s.spoil("all")
	s.spoil("default")
	s.Sysctl("net.ipv4.conf.all.rp_filter", "1")
	s.Sysctl("net.ipv6.conf.all.disable_ipv6", "0")
	s.Sysctl("net.ipv6.conf.default.disable_ipv6", "0")
	check(t, link.Prepare(s.handle))
	for dir, want := range map[string]map[string]string{
		"net/ipv6/conf/all":     {"disable_ipv6": "1"},
		"net/ipv6/conf/default": {"disable_ipv6": "1"},
		"net/ipv4":              {"fwmark_reflect": "1", "icmp_ratelimit": "0"},
		"net/ipv4/conf/default": {"rp_filter": "1", "forwarding": "0"},
		"net/ipv4/conf/all": {"rp_filter": "0", "proxy_arp": "0", "accept_redirects": "0", "send_redirects": "0",
			"accept_source_route": "0",
			"arp_accept":          "0", "accept_local": "0", "route_localnet": "0"},
	} {
		var keys []string
		for key := range want {
			keys = append(keys, key)
		}
		if diff := cmp.Diff(want, s.read(t, dir, keys...)); diff != "" {
			t.Errorf("%s:\n%s", dir, diff)
		}
	}
	s.Run("ip", "link", "add", "later", "type", "bridge")
	if diff := cmp.Diff(map[string]string{"disable_ipv6": "1"},
		s.read(t, "net/ipv6/conf/later", "disable_ipv6")); diff != "" {
		t.Errorf("a link that is made later:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"rp_filter": "1", "forwarding": "0"},
		s.read(t, "net/ipv4/conf/later", "rp_filter", "forwarding")); diff != "" {
		t.Errorf("a link that is made later:\n%s", diff)
	}
}

// TestPrepareAlone: nothing outside of the namespace changes.
func TestPrepareAlone(t *testing.T) {
	s, host := open(t, "net"), open(t, "host")
	before := host.read(t, "net/ipv4", "fwmark_reflect", "icmp_ratelimit", "ip_forward")
	check(t, link.Prepare(s.handle))
	if diff := cmp.Diff(before, host.read(t, "net/ipv4", "fwmark_reflect", "icmp_ratelimit",
		"ip_forward")); diff != "" {
		t.Error(diff)
	}
}

func TestForwarding(t *testing.T) {
	s := open(t, "host")
	for _, want := range []bool{false, true} {
		if want {
			check(t, s.EnableForwarding())
		} else {
			s.Sysctl("net.ipv4.ip_forward", "0")
		}
		if got, err := s.Forwards(); got != want || err != nil {
			t.Errorf("forwards %v (%v), want %v", got, err, want)
		}
	}
}
