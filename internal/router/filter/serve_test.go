package filter_test

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mcpnet/mcpnet/internal/router/filter"
)

// broken is a packet socket that gives nothing but errors.
type broken struct{ *packets }

var errBroken = errors.New("broken")

func (broken) ReadFrom([]byte) (int, net.Addr, error) { return 0, nil, errBroken }

// TestSocketsThatDie: a filter that cannot hear says so, and closes what it has.
func TestSocketsThatDie(t *testing.T) {
	tests := map[string]struct {
		end    func(*world)
		change func(*filter.Config)
		want   error
	}{
		"UDP closed": {func(w *world) { w.udp.Close() }, nil, net.ErrClosed},
		"TCP closed": {func(w *world) { w.tcp.Close() }, nil, net.ErrClosed},
		"UDP broken": {func(*world) {}, func(c *filter.Config) { c.Packet = broken{newPackets()} }, errBroken},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, done := newWorld(), make(chan error)
				go func() { done <- filter.Serve(t.Context(), w.config(test.change)) }()
				synctest.Wait()
				test.end(w)
				if err := <-done; !errors.Is(err, test.want) {
					t.Errorf("Serve: %v", err)
				}
				if _, err := w.tcp.Accept(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("the listener is open: %v", err)
				}
			})
		})
	}
}

// TestEnd: a filter that is told to end waits for nobody.
func TestEnd(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.upstream.set(silent)
		w.udp.send(alice, question(t, api, dnsmessage.TypeA))
		conn := w.tcp.dial(alice)
		synctest.Wait()
		t.Cleanup(func() { conn.Close() })
	})
}
