package testnet

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestSNMPCounter(t *testing.T) {
	const text = "Ip: Forwarding DefaultTTL\nIp: 1 64\n" +
		"Icmp: InMsgs OutErrors OutRateLimitGlobal OutRateLimitHost\nIcmp: 7 0 3 5\nIcmpMsg: OutRateLimitGlobal\nIcmpMsg: 9\n"
	for _, c := range []struct {
		text, name string
		want       int
		fails      bool
	}{
		{text, "OutRateLimitGlobal", 3, false},
		{text, "OutRateLimitHost", 5, false},
		{strings.ReplaceAll(text, "OutRateLimitGlobal ", ""), "OutRateLimitGlobal", 0, false},
		{"Ip: Forwarding\nIp: 1\n", "OutRateLimitGlobal", 0, true},
		{"", "OutRateLimitGlobal", 0, true},
	} {
		got, err := snmpCounter(c.text, "Icmp:", c.name)
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%s in %q: %d, %v; want %d", c.name, c.text, got, err, c.want)
		}
	}
}

// TestSwallowedErrors: a namespace that may send no errors keeps that of ARP to itself, and says so.
func TestSwallowedErrors(t *testing.T) {
	a, b := New(t, "a"), New(t, "b")
	Connect(t, Port{NS: a, Name: "eth0", Addrs: []string{"10.99.0.1/24"}}, Port{NS: b, Name: "eth0", Addrs: []string{"10.99.0.2/24"}})
	const limit = "/proc/sys/net/ipv4/icmp_msgs_per_sec"
	if err := a.Do(func() error { _, err := os.Stat(limit); return err }); err != nil {
		Lacks(t, "icmp-limit-of-a-namespace", err.Error())
	}
	b.Sysctl("net.ipv4.icmp_msgs_per_sec", "0")
	for _, c := range []struct {
		ns        *NS
		swallowed bool
	}{{a, false}, {b, true}} {
		_ = c.ns.Do(func() error {
			conn, err := net.DialTimeout("tcp4", "10.99.0.77:9", 3500*time.Millisecond)
			if err == nil {
				conn.Close()
			}
			return nil
		})
		count, err := c.ns.SwallowedErrors()
		if err != nil || (count > 0) != c.swallowed {
			t.Errorf("%s: %d errors swallowed (%v), want some: %v", c.ns.Label(), count, err, c.swallowed)
		}
	}
}
