package testhost

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

const (
	// soon is how long a connection may take that comes about.
	soon = time.Second
	// atOnce is how long a refusal may take, of the time that the machine gives to the test. One of a few attempts has to
	// keep to it.
	atOnce   = 100 * time.Millisecond
	attempts = 3
)

// Dial tries a connection, and for UDP a datagram that is answered, and gives the time it took. The address is
// IP/PORT, or IP/PORT/udp.
func Dial(from *testnet.NS, address string) (time.Duration, error) {
	return DialFor(from, address, 5*time.Second)
}

// DialFor is Dial with a limit.
func DialFor(from *testnet.NS, address string, limit time.Duration) (time.Duration, error) {
	network, to := "tcp", address
	if rest, udp := strings.CutSuffix(address, "/udp"); udp {
		network, to = "udp", rest
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	at := netip.MustParseAddrPort(strings.Replace(to, "/", ":", 1))
	began := time.Now()
	c, err := from.Dial(ctx, network, at)
	if err != nil {
		return time.Since(began), err
	}
	defer c.Close()
	if network == "tcp" {
		return time.Since(began), nil
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return time.Since(began), err
	}
	if err := c.SetReadDeadline(began.Add(limit)); err != nil {
		return time.Since(began), err
	}
	_, err = c.Read(make([]byte, 64))
	return time.Since(began), err
}

// Reaches tells whether a connection comes about; one that does not has to be refused at once.
func Reaches(t testing.TB, from *testnet.NS, address string, want bool) {
	t.Helper()
	if !want {
		Refused(t, from, address)
		return
	}
	took, err := Dial(from, address)
	if err != nil {
		t.Errorf("%s to %s: %v, want a connection", from.Label(), address, err)
	}
	if took > soon {
		t.Errorf("%s to %s: took %v", from.Label(), address, took)
	}
}

// Refused wants every attempt to be refused, and at once: TCP by a reset, UDP by an ICMP error.
func Refused(t testing.TB, from *testnet.NS, address string) {
	t.Helper()
	refusals := []error{syscall.ECONNREFUSED}
	if strings.HasSuffix(address, "/udp") {
		refusals = append(refusals, syscall.EHOSTUNREACH) // ICMP communication administratively prohibited
	}
	fastest := time.Hour
	for range attempts {
		var err error
		took := Spent(func() { _, err = Dial(from, address) })
		if !slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) }) {
			t.Errorf("%s to %s: %v after %v, want a refusal", from.Label(), address, err, took)
			return
		}
		if fastest = min(fastest, took); fastest <= atOnce {
			return
		}
	}
	t.Errorf("%s to %s: refused after %v", from.Label(), address, fastest)
}

// Unreachable wants an attempt to end at once in the sender's own namespace: it has no route.
func Unreachable(t testing.TB, from *testnet.NS, address string) {
	t.Helper()
	took, err := Dial(from, address)
	if !errors.Is(err, syscall.ENETUNREACH) || took > soon {
		t.Errorf("%s to %s: %v after %v, want no route", from.Label(), address, err, took)
	}
}

// Silent wants an attempt to be left without an answer: no connection, and no refusal either.
func Silent(t testing.TB, from *testnet.NS, address string) {
	t.Helper()
	took, err := DialFor(from, address, 600*time.Millisecond)
	if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s to %s: %v after %v, want silence", from.Label(), address, err, took)
	}
}

// Hello serves HTTP on a port of all of a namespace's addresses.
func Hello(in *testnet.NS, port uint16) {
	in.ServeHello(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
}

// Echo sends datagrams to a UDP port back.
func Echo(t testing.TB, in *testnet.NS, port uint16) {
	t.Helper()
	check(t, in.RecordUDP(testnet.NewRecorder(), "echo", netip.AddrPortFrom(netip.IPv4Unspecified(), port)))
}

// Within waits until something is so, and gives the time that it took. Time for which the machine ran others instead
// does not count: a limit says how long something takes, not how busy the machine is.
func Within(t testing.TB, limit time.Duration, what string, is func() bool) time.Duration {
	t.Helper()
	clock := startClock()
	defer clock.stop()
	for !is() {
		if clock.elapsed() > limit {
			t.Fatalf("%s: not within %v (%v with what the machine did besides)", what, limit, time.Since(clock.began))
		}
		time.Sleep(time.Millisecond)
	}
	return clock.elapsed()
}
