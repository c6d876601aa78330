package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// cniChain is a conflist. Its name is how the report speaks of it.
type cniChain struct {
	name, conflist string
	// publishes chains are asked for a published port with each container.
	publishes bool
}

// The chains that are compared. Each gives the same addresses, and a port of a bridge or a wire; none masquerades,
// which mcpnet does not for servers and which would cost the reference chain two runs of iptables more.
var (
	cniMcpnet = cniChain{"mcpnet", `{"cniVersion": "1.0.0", "name": "lab", "plugins": [
		{"type": "mcpnet", "policy": {"gateway": "` + service.String() + `"}, "ipam": ` + cniIPAM(``) + `}]}`, false}
	cniReference = cniChain{"chain", referenceList(``), false}
	cniPortmap   = cniChain{"chain + portmap", referenceList(`, {"type": "portmap", "backend": "iptables", "capabilities": {"portMappings": true}}`), true}
	cniChains    = []cniChain{cniMcpnet, cniReference, cniPortmap}
)

func cniIPAM(more string) string {
	return `{"type": "host-local", "dataDir": "$IPAM"` + more +
		`, "ranges": [[{"subnet": "` + subnet.String() + `", "rangeStart": "` + address(0).String() + `", "gateway": "` + bridgeAddr.String() + `"}]]}`
}

func referenceList(more string) string {
	return `{"cniVersion": "1.0.0", "name": "lab", "plugins": [
		{"type": "bridge", "bridge": "` + plainBridge + `", "isGateway": true, "ipam": ` + cniIPAM(`, "routes": [{"dst": "0.0.0.0/0"}]`) + `},
		{"type": "firewall", "backend": "iptables"}` + more + `]}`
}

// cniHost is a host with one network of a chain, called as a runtime calls it: through libcni, a process for each
// plugin.
type cniHost struct {
	t       *testnet.Program
	chain   cniChain
	host    *testnet.NS
	network *testcni.Network
	// size is how many endpoints are there between measurements.
	size int
	// container is the namespace of the one that comes and goes.
	container *testnet.NS
	// calls counts containers, to name the next.
	calls int
}

// newCNIHost makes a host with as many endpoints. At mcpnet the first of them is the gateway.
func newCNIHost(ctx context.Context, t *testnet.Program, chain cniChain, size int) *cniHost {
	h := &cniHost{t: t, chain: chain, host: newHost(t).Host, size: size, container: sandbox(t)}
	h.network = testcni.New(t, h.host).MustNetwork(chain.conflist)
	first := h.next(sandbox(t))
	if chain.name == cniMcpnet.name {
		first.Args = asksFor(service.Addr().String())
	}
	_, err := h.network.Add(ctx, first)
	must(t, err, "%s: the first endpoint", h)
	must(t, h.fill(ctx), "%s: fill", h)
	return h
}

func (h *cniHost) String() string { return fmt.Sprintf("%s %d", h.chain.name, h.size) }

// asksFor is CNI_ARGS for an address.
func asksFor(ip string) [][2]string { return [][2]string{{"IgnoreUnknown", "1"}, {"IP", ip}} }

// sandbox makes a container's namespace. There are thousands of them: none has IPv6, with which it would announce
// itself to all the others, and none stays open here, where every plugin that is started would begin by closing it.
func sandbox(t *testnet.Program) *testnet.NS {
	n := testnet.New(t, "container")
	n.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
	n.Idle()
	return n
}

// next is the attachment of one more container in a namespace.
func (h *cniHost) next(container *testnet.NS) testcni.Call {
	c := testcni.Call{ID: endpointID(h.calls), NetNS: container.Path()}
	if h.chain.publishes {
		port := map[string]any{"hostPort": 10000 + h.calls, "containerPort": service.Port(), "protocol": "tcp"}
		c.Capabilities = map[string]any{"portMappings": []any{port}}
	}
	h.calls++
	return c
}

// fillLimit bounds the population of one host: a thousand runs of the reference chain take minutes.
const fillLimit = 20 * time.Minute

// fill adds all endpoints but the first, a few at a time.
func (h *cniHost) fill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fillLimit)
	defer cancel()
	began := time.Now()
	var calls []testcni.Call
	for range h.size - 1 {
		calls = append(calls, h.next(sandbox(h.t)))
	}
	made := time.Since(began)
	queue := make(chan testcni.Call)
	var (
		workers sync.WaitGroup
		mu      sync.Mutex
		failed  error
	)
	for range 2 * runtime.NumCPU() {
		workers.Go(func() {
			for c := range queue {
				if _, err := h.network.Add(ctx, c); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, c := range calls {
		if ctx.Err() != nil {
			break
		}
		queue <- c
	}
	close(queue)
	workers.Wait()
	progress("  %s: %s (namespaces %v, ADDs %v)", h.chain.name, endpoints(h.size), made.Round(time.Millisecond), (time.Since(began) - made).Round(time.Millisecond))
	return errors.Join(failed, ctx.Err())
}

// turn adds and removes one container.
func (h *cniHost) turn(ctx context.Context) (add, del time.Duration, err error) {
	c := h.next(h.container)
	began := time.Now()
	if _, err := h.network.Add(ctx, c); err != nil {
		return 0, 0, fmt.Errorf("%s: ADD: %w", h, err)
	}
	added := time.Now()
	if err := h.network.Del(ctx, c); err != nil {
		return 0, 0, fmt.Errorf("%s: DEL: %w", h, err)
	}
	return added.Sub(began), time.Since(added), nil
}
