package testnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWorldReachesTheInternet(t *testing.T) {
	w := NewWorld(t)
	victim := w.NewVictim()
	w.Internet.ServeHello(netip.AddrPortFrom(netip.IPv4Unspecified(), 80))
	w.Internet.ServeHello(netip.AddrPortFrom(netip.IPv6Unspecified(), 80))
	victim.ServeHello(netip.AddrPortFrom(VictimAddr, 80))
	for _, addr := range []netip.Addr{InternetAddr, InternetHost, InternetHost6, Metadata, Metadata6, VictimAddr} {
		conn, err := w.Host.Dial(t.Context(), "tcp", netip.AddrPortFrom(addr, 80))
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		conn.Close()
	}
}

func TestSnifferAndSocketsSeeTokens(t *testing.T) {
	w := NewWorld(t)
	r := NewRecorder()
	w.Internet.Sniff(r, Sniff{Place: "wire"})
	check(t, w.Internet.RecordUDP(r, "udp", netip.AddrPortFrom(InternetHost, 9)))
	check(t, w.Internet.RecordTCP(r, "tcp", netip.AddrPortFrom(InternetHost, 9)))
	w.Internet.RecordRaw(r, "raw", InternetHost, 17)
	zone := w.Internet.ServeDNS(r, "dns", netip.AddrPortFrom(Resolver, 53))
	token := NewToken()
	sendTo(t, w.Host, "udp", netip.AddrPortFrom(InternetHost, 9), []byte(token))
	sendTo(t, w.Host, "tcp", netip.AddrPortFrom(InternetHost, 9), []byte(token))
	answer := lookup(t, w.Host, netip.AddrPortFrom(Resolver, 53), token+".example.")
	if answer != DNSAnswer {
		t.Errorf("answer %v, want %v", answer, DNSAnswer)
	}
	for _, place := range []string{"wire", "udp", "tcp", "raw", "dns"} {
		if !r.Wait(token, place, 2*time.Second) {
			t.Errorf("no sighting at %s, only %v", place, r.Of(token))
		}
	}
	if got := zone.Names(); !slices.Contains(got, token+".example.") {
		t.Errorf("names %v", got)
	}
}

func sendTo(t *testing.T, from *NS, network string, to netip.AddrPort, data []byte) {
	t.Helper()
	conn, err := from.Dial(t.Context(), network, to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(data); err != nil {
		t.Fatal(err)
	}
}

func lookup(t *testing.T, from *NS, server netip.AddrPort, name string) netip.Addr {
	t.Helper()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return from.Dial(ctx, network, server)
	}}
	addrs, err := resolver.LookupNetIP(t.Context(), "ip4", name)
	if err != nil {
		t.Fatal(err)
	}
	return addrs[0]
}

func TestNamespaceIsRemoved(t *testing.T) {
	var path string
	t.Run("inner", func(t *testing.T) {
		n := New(t, "gone")
		path = n.Path()
		if err := n.Command("sleep", "60").Start(); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", path, err)
	}
}

func TestDoStaysInside(t *testing.T) {
	n := New(t, "inside")
	n.AddBridge("onlyhere")
	seen := func() bool {
		b, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			t.Error(err)
		}
		return strings.Contains(string(b), "onlyhere")
	}
	var inside bool
	if err := n.Do(func() error { inside = seen(); return nil }); err != nil {
		t.Fatal(err)
	}
	if !inside {
		t.Error("Do ran outside of its namespace")
	}
	if seen() {
		t.Error("the bridge shows outside of its namespace")
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
