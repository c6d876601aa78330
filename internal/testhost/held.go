package testhost

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// Held is a server that is held, and a gateway that it reaches once it is not.
type Held struct {
	Server  *testnet.NS
	Gateway string // IP/PORT
	MAC     string // of the gateway
	Decide  func() // admits the server, or puts it into quarantine
}

const (
	// sentAgain is when TCP is about to send its first segment again, and ARP its request.
	sentAgain = 900 * time.Millisecond
	// heldFor is how long a server is held that connects.
	heldFor = 200 * time.Millisecond
)

// GoesOutAtOnce wants what a server says first, while it is held, to go out when it is admitted. A machine that is
// shared pauses: the first of a few servers has to keep to it. Shown before is what one waits that knows its gateway's
// hardware address: its first segment is sent into the hold.
func GoesOutAtOnce(t testing.TB, held func(attempt int) Held) {
	t.Helper()
	control := held(0)
	gateway, _, _ := strings.Cut(control.Gateway, "/")
	control.Server.Run("ip", "neigh", "replace", gateway, "lladdr", control.MAC, "dev", "eth0")
	if took, err := control.dial(); err != nil || took < sentAgain {
		t.Fatalf("a first segment that is dropped: %v after %v: the test would show nothing", err, took)
	}
	decidedAtOnce(t, held, nil)
}

// RefusedAtOnce wants what a server says while it is held to be refused when it is quarantined.
func RefusedAtOnce(t testing.TB, held func(attempt int) Held) {
	t.Helper()
	decidedAtOnce(t, held, syscall.ECONNREFUSED)
}

func decidedAtOnce(t testing.TB, held func(attempt int) Held, want error) {
	t.Helper()
	fastest := time.Hour
	for attempt := 1; attempt <= attempts && fastest >= sentAgain; attempt++ {
		took, err := held(attempt).dial()
		if !errors.Is(err, want) || took < heldFor {
			t.Fatalf("held for %v: %v after %v, want %v", heldFor, err, took, want)
		}
		fastest = min(fastest, took)
	}
	if t.Logf("held for %v, answered after %v", heldFor, fastest); fastest >= sentAgain {
		t.Errorf("held for %v, answered after %v", heldFor, fastest)
	}
}

// dial connects, and the server is decided about meanwhile.
func (h Held) dial() (time.Duration, error) {
	decided := make(chan struct{})
	time.AfterFunc(heldFor, func() { defer close(decided); h.Decide() })
	defer func() { <-decided }()
	return Dial(h.Server, h.Gateway)
}
