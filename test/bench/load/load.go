// Package load makes traffic between two network namespaces and measures it. Every load is a process of its own,
// pinned to one processor, that makes blocking system calls and allocates nothing while it measures: what remains is
// the kernel.
package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// Kind is what a load does.
type Kind string

// The kinds. All but Serve and Packets need a Serve at the other end.
const (
	Serve   Kind = "serve"   // sinks or echoes connections until its input ends
	Bulk    Kind = "bulk"    // sends as much as goes through, over Flows connections
	Ask     Kind = "ask"     // sends 64 bytes and waits for 64, over one connection
	Connect Kind = "connect" // connects, asks once and closes, in Flows loops
	Packets Kind = "packets" // writes Frame to Device again and again
)

// Spec describes a load.
type Spec struct {
	Kind   Kind           `json:"kind"`
	At     netip.AddrPort `json:"at,omitzero"` // the server's address
	Flows  int            `json:"flows,omitempty"`
	For    time.Duration  `json:"for,omitempty"`
	Device string         `json:"device,omitempty"`
	Frame  []byte         `json:"frame,omitempty"`
}

// Result is what a load measured; each kind fills its own fields.
type Result struct {
	PerSecond float64       `json:"perSecond,omitempty"` // bits, answers or connections
	Median    time.Duration `json:"median,omitempty"`    // time of an answer
	P99       time.Duration `json:"p99,omitempty"`
	PerPacket float64       `json:"perPacket,omitempty"` // nanoseconds, the median of short runs
	Sent      int           `json:"sent,omitempty"`      // packets
}

// variable carries the Spec to the process that is the load.
const variable = "MCPNET_BENCH_LOAD"

// Child does a load and ends the process, if this process was started as one. Call it first in main.
func Child() {
	text := os.Getenv(variable)
	if text == "" {
		return
	}
	if err := child(text); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(text string) error {
	var s Spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	// Blocked system calls keep their P and nothing may wait for them: see raw in flows.go.
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(4 * acceptors)
	var r Result
	var err error
	switch s.Kind {
	case Serve:
		return serve(s)
	case Bulk:
		r, err = bulk(s)
	case Ask:
		r, err = ask(s)
	case Connect:
		r, err = connects(s)
	case Packets:
		r, err = packets(s)
	default:
		err = fmt.Errorf("unknown kind %q", s.Kind)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.Kind, err)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// command prepares the process of a load on a processor; a machine with fewer has all loads on its last one.
func command(in *testnet.NS, cpu int, s Spec) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	cmd := in.Command("taskset", "-c", strconv.Itoa(min(cpu, runtime.NumCPU()-1)), self)
	cmd.Env = append(os.Environ(), variable+"="+string(text), "GODEBUG=asyncpreemptoff=1")
	return cmd, nil
}

// Run does a load in a namespace and waits for its result.
func Run(in *testnet.NS, cpu int, s Spec) (Result, error) {
	var r Result
	cmd, err := command(in, cpu, s)
	if err != nil {
		return r, err
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("%s in %s: %w: %s", s.Kind, in.Label(), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return r, json.Unmarshal(out, &r)
}

// Start starts a Serve in a namespace, for as long as t runs.
func Start(t testnet.T, in *testnet.NS, cpu int, at netip.AddrPort) error {
	cmd, err := command(in, cpu, Spec{Kind: Serve, At: at})
	if err != nil {
		return err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return fmt.Errorf("serve in %s: %w", in.Label(), err)
	}
	return nil
}
