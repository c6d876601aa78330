package hostport_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/mcpnet/mcpnet/internal/hostport"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestPorts: a held port is nobody else's, carries what the host itself sends, and is free again afterwards.
func TestPorts(t *testing.T) {
	host := testnet.NewWorld(t).Host
	h, err := ns.Open(host.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	loopback := netip.MustParseAddr("127.0.0.1")
	target := netip.AddrPortFrom(loopback, 9090)
	l, err := host.Listen(target)
	if err != nil {
		t.Fatal(err)
	}
	go echo(l)
	ports := hostport.New(h, slog.New(slog.DiscardHandler))
	defer ports.Close()
	p := topology.Publication{Endpoint: "e", HostPort: 8080, To: target}
	for range 2 { // the engine repeats itself
		if err := ports.Hold(p); err != nil {
			t.Fatal(err)
		}
	}
	other := topology.Publication{Endpoint: "f", HostIP: loopback, HostPort: 8080, To: target}
	if err := ports.Hold(other); !errors.Is(err, hostport.ErrTaken) {
		t.Errorf("a second holder: %v", err)
	}
	if said := exchange(t, host, netip.AddrPortFrom(loopback, 8080)); said != "hello" {
		t.Errorf("carried %q", said)
	}
	if err := ports.Release(p); err != nil {
		t.Fatal(err)
	}
	if err := ports.Hold(other); err != nil {
		t.Errorf("after it was released: %v", err)
	}
}

func echo(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// exchange says something, ends its side, and hears what comes back until the other side's end.
func exchange(t *testing.T, from *testnet.NS, to netip.AddrPort) string {
	t.Helper()
	conn, err := from.Dial(t.Context(), "tcp4", to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}
