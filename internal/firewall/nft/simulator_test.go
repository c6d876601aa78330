package nft_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/explain"
	"github.com/mcpnet/mcpnet/internal/frame"
	"github.com/mcpnet/mcpnet/internal/topology"
)

var seed = flag.Uint64("seed", 0, "seed of the random frames; 0: by the clock")

const (
	framesPerPolicy = 2000
	batchSize       = 64
)

// TestSimulatorAgreesWithKernel sends random frames from servers, a candidate and a gateway, and holds what the kernel
// does with each of them against what Explain says: where it comes out, and which rule counted it.
func TestSimulatorAgreesWithKernel(t *testing.T) {
	start := *seed
	if start == 0 {
		start = uint64(time.Now().UnixNano())
	}
	for kernel, features := range map[string]firewall.Features{"prefix": prefixed, "chains": older} {
		for name, options := range map[string]map[string]string{
			"udp": {"mcpnet.gateway": "172.20.0.100:8080,172.20.0.101:8080,172.20.0.100:5000/udp"},
			"audit": {"mcpnet.gateway": "172.20.0.100:8080,172.20.0.101:8080", "mcpnet.mode": "audit",
				"mcpnet.log": "all"},
			"connect": {"mcpnet.gateway": "172.20.0.100:8080,172.20.0.101:8080",
				"mcpnet.gateway.connect": "tcp/3000,tcp/3001", "mcpnet.dns": "gateway", "mcpnet.log": "off"},
			"off": {"mcpnet.gateway": "172.20.0.100:8080,172.20.0.101:8080", "mcpnet.gateway.connect": "off",
				"mcpnet.gateway.egress": "off"},
		} {
			t.Run(kernel+" "+name, func(t *testing.T) {
				l := newLab(t, features, options)
				r := rand.New(rand.NewPCG(start, 0))
				g := generator{r, l, map[string]bool{}}
				comparison{t: t, lab: l, seed: start, hits: map[string]uint64{}}.run(g)
			})
		}
	}
}

// comparison holds the kernel's doings against the simulator's words.
type comparison struct {
	t    *testing.T
	lab  *lab
	seed uint64
	hits map[string]uint64 // how often a rule decided, says the simulator
	sent int
}

func (c comparison) run(g generator) {
	defer pin(c.t)()
	kinds := map[string]int{}
	for c.sent < framesPerPolicy {
		var batch []shot
		for range batchSize {
			s := g.next(c.sent)
			c.sent++
			s.outcome = explain.Rules(c.lab.rules, firewall.HookIngress,
				explain.Decode(s.from.Wire(), s.from.Group(), s.frame))
			c.lab.rules = explain.After(c.lab.rules, s.outcome)
			c.hits[s.outcome.RuleID]++
			kinds[fmt.Sprintf("%v", kind(s.outcome))]++
			c.lab.send(s.from, s.frame)
			batch = append(batch, s)
		}
		for n, places := range c.lab.collect(c.sent, batch) {
			c.judge(batch, n, places)
		}
		last := denied(c.lab.endpoints[serverA], c.lab.endpoints[serverB], c.sent) // which is not among the shots
		c.hits[explain.Rules(c.lab.rules, firewall.HookIngress, explain.Decode(c.lab.endpoints[serverA].Wire(), 0,
			last)).RuleID]++
		c.sent++
		if c.t.Failed() {
			c.t.Fatalf("again with: -seed %d", c.seed)
		}
	}
	c.compareCounters()
	c.t.Logf("%d frames: %v", c.sent, kinds)
}

func kind(o explain.Outcome) string {
	switch v := o.Verdict.(type) {
	case firewall.Forward:
		return "forward"
	case firewall.AnswerARP:
		return "answer"
	case firewall.ToRouter:
		return fmt.Sprintf("router %d", v.Mark)
	}
	return fmt.Sprint(o.Verdict)
}

// judge compares one frame's places. A reset is owed for a denied segment that is whole; the kernel gives none for a
// broken checksum or for another reset.
func (c comparison) judge(batch []shot, n int, places []string) {
	i := slices.IndexFunc(batch, func(s shot) bool { return s.number == n })
	if i < 0 {
		c.t.Errorf("frame %d of another batch came out at %v", n, places)
		return
	}
	s := batch[i]
	slices.Sort(places)
	got := strings.Join(slices.Compact(places), " ")
	want := ""
	switch v := s.outcome.Verdict.(type) {
	case firewall.Forward:
		want = "arrived at " + s.outcome.Out
	case firewall.AnswerARP:
		want = "answered with " + s.outcome.Out
	case firewall.ToRouter:
		want = "router"
		owed := v.Mark == topology.MarkDenied && s.whole && s.kind == "tcp" && s.frame[transport+13]&frame.RST == 0
		if owed || got == "reset router" {
			want = "reset router"
		}
	}
	if got != want {
		c.t.Errorf("frame %d from %s (%s):\n%x\nkernel:    %q\nsimulator: %q by %q", n, s.from.Role, s.made, s.frame,
			got, want, s.outcome.RuleID)
	}
}

// compareCounters holds the rules' own counters against the simulator: the same frames met the same rules. A rule that
// forwards by map also counts what it met and had no way for, which then meets a later rule.
func (c comparison) compareCounters() {
	state, err := c.lab.nft.Observe(nil, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	counted := 0
	for _, chain := range c.lab.rules.Chains {
		for _, r := range chain.Rules {
			if chain.Family != firewall.NetDev || !r.Count {
				continue
			}
			counted++
			_, byMap := r.Verdict.(firewall.Forward)
			if got := state.Counters[r.ID].Packets; got < c.hits[r.ID] || (got > c.hits[r.ID] && !byMap) {
				c.t.Errorf("rule %s counted %d frames, the simulator %d; -seed %d", r.ID, got, c.hits[r.ID], c.seed)
			}
		}
	}
	if counted == 0 {
		c.t.Error("no rule counts")
	}
}

// pin keeps this thread, and with it the order of frames through the kernel's queues, on one CPU.
func pin(t *testing.T) (release func()) {
	runtime.LockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if before.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = unix.SchedSetaffinity(0, &before)
		runtime.UnlockOSThread()
	}
}

// shot is a frame that is sent, and what the simulator says of it.
type shot struct {
	number  int
	from    topology.Endpoint
	frame   []byte
	kind    string // what it was before it was changed: arp, udp or tcp
	made    string // how, for messages
	whole   bool   // nothing was changed in it
	outcome explain.Outcome
}
