package leak

import (
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// Control is a closed port of an ordinary bridge, which is asked at the same time as what mcpnet denies. Where software
// emulates the processor, everything takes longer, and how much longer changes from one instant to the next. There an
// answer may take ten times as long as the control's, but never as long as a kernel's timer: who waits for one is late
// on every machine.
type Control struct {
	from *testnet.NS // nil where a processor is one
}

const (
	// belowTimers is shorter than a wait for ARP or for TCP's next attempt, which is a second.
	belowTimers = 900 * time.Millisecond
	// timesPlain is how many times the control's time an answer may take.
	timesPlain = 10
)

var controlPort = netip.MustParseAddrPort("10.78.0.1:9")

// NewControl makes the bridge, where there is need of it.
func NewControl(t testnet.T) *Control {
	t.Helper()
	if !emulated() {
		return &Control{}
	}
	host, container := testnet.New(t, "control-host"), testnet.New(t, "control")
	host.AddBridge("control0", controlPort.Addr().String()+"/24")
	testnet.Connect(t, testnet.Port{NS: host, Name: "control1"},
		testnet.Port{NS: container, Name: containerLink, Addrs: []string{"10.78.0.2/24"}})
	host.Enslave("control1", "control0")
	return &Control{from: container}
}

// emulated tells whether the processor is qemu's.
var emulated = sync.OnceValue(func() bool {
	text, err := os.ReadFile("/proc/cpuinfo")
	return err == nil && strings.Contains(string(text), "QEMU TCG CPU")
})

// slowly is how long something may take that takes a time on a processor.
func slowly(limit time.Duration) time.Duration {
	if emulated() {
		return timesPlain * limit
	}
	return limit
}

// Limit asks, and gives how long an answer may take at that time.
func (c *Control) Limit(ask func()) time.Duration {
	if c.from == nil {
		ask()
		return AnswerLimit
	}
	plain := make(chan time.Duration)
	go func() {
		took, _ := measure(c.from, "tcp", controlPort)
		plain <- took
	}()
	ask()
	return min(max(AnswerLimit, timesPlain*<-plain), belowTimers)
}
