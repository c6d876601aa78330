package resident_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/router/control"
	"github.com/mcpnet/mcpnet/internal/router/sandbox"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// hostileArgument makes the test's program the process that reads, after somebody has taken it over: it is confined by
// the real sandbox, and does what the next argument says.
const hostileArgument = "hostile-reader"

func init() {
	if len(os.Args) == 4 && os.Args[1] == hostileArgument {
		hostile(os.Args[2])
		os.Exit(0)
	}
}

func hostile(does string) {
	conn, err := control.FromFile(os.NewFile(3, "control"))
	if err != nil || sandbox.Enter() != nil {
		return
	}
	for m := (control.Message{}); m.Kind != control.Ready; {
		if m, err = conn.Receive(); err != nil {
			return
		}
	}
	if does == "asks and does not read" {
		for {
			_ = conn.Send(control.Message{ID: 1, Kind: control.Resolve, Network: strings.Repeat("x", 4000)})
		}
	}
	caller := control.NewCaller(conn)
	go func() { _ = caller.Serve(func(control.Message) {}) }()
	connectElsewhere(caller)
}

// connectElsewhere tries to make a connection that it was given one to somewhere else, without connect(2).
func connectElsewhere(caller *control.Caller) {
	ask := func(m control.Message) control.Message {
		for {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			got, err := caller.Ask(ctx, m)
			cancel()
			if err == nil {
				return got
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	server := netip.MustParseAddr("172.20.240.1")
	name := ask(control.Message{Kind: control.Bind, Server: server, Name: "api.example.com", Addrs: []netip.Addr{testnet.InternetHost}})
	got := ask(control.Message{Kind: control.Dial, Server: server, Addr: name.Addr, Port: 443})
	fd := int(got.File.Fd())
	_ = unix.SetNonblock(fd, false)
	_, _ = unix.Write(fd, []byte("not TLS\r\n\r\n")) // the other side closes
	for n := 1; n > 0; {
		n, _ = unix.Read(fd, make([]byte, 4096))
	}
	for range 20 {
		_ = unix.Sendto(fd, []byte("x"), unix.MSG_NOSIGNAL, nil) // and resets
		time.Sleep(50 * time.Millisecond)
		_ = unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, &unix.SockaddrInet4{Port: 5555, Addr: [4]byte{10, 77, 0, 2}})
	}
}

// newHostile is newNamed with a process that reads which somebody has taken over.
func newHostile(t *testing.T, does string) *testhost.Docker {
	t.Helper()
	return newNamedBy(t, []string{"/proc/self/exe", hostileArgument, does})
}

// TestReaderHoldsUpNobody: a process that asks and does not read costs the front at most the second that it may take.
func TestReaderHoldsUpNobody(t *testing.T) {
	h := newHostile(t, "asks and does not read")
	for i := range 3 {
		time.Sleep(500 * time.Millisecond)
		began := time.Now()
		h.Container(fmt.Sprint("s", i), fmt.Sprint("172.20.240.", 10+i), topology.RoleServer)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("an endpoint took %v", took)
		}
	}
}

// TestReaderConnectsNowhere: a connection that was made for the process leads nowhere else.
func TestReaderConnectsNowhere(t *testing.T) {
	h := newHostile(t, "connects elsewhere")
	victim := h.World.NewVictim()
	l, err := victim.Listen(netip.MustParseAddrPort("0.0.0.0:5555"))
	h.Check(err)
	var reached atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			c.Close()
		}
	}()
	h.Container("s", "172.20.240.1", topology.RoleServer)
	time.Sleep(4 * time.Second)
	if n := reached.Load(); n > 0 {
		t.Errorf("%d connections to an address that no list has", n)
	}
}
