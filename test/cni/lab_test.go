package cni

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// lab is a host of its own for one row on one subject.
type lab struct {
	*testcni.Host
	t       *testing.T
	s       subject
	version string
	net     *testcni.Network // the subject's network, unchanged
	before  state
	faults  []string

	mu         sync.Mutex
	live       []attachment
	containers int
}

// attachment is one that the runtime has not detached.
type attachment struct {
	network *testcni.Network
	call    testcni.Call
}

func newLab(t *testing.T, s subject, version string) *lab {
	t.Helper()
	if version == "" {
		version = latest
	}
	l := &lab{Host: testcni.New(t, testnet.New(t, "host")), t: t, s: s, version: version}
	l.net = l.network()
	if s.older {
		l.olderKernel()
	}
	l.before = l.state()
	return l
}

// olderKernel has the plugin take the kernel for an older one: it keeps what it found of the kernel until the next
// boot.
func (l *lab) olderKernel() {
	l.t.Helper()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		err = os.MkdirAll(filepath.Join(l.Store(), "cni"), 0o700)
	}
	if err == nil {
		text := strings.TrimSpace(string(boot)) + " prefix=false"
		err = os.WriteFile(filepath.Join(l.Store(), "cni", "fact-kernel"), []byte(text), 0o600)
	}
	if err != nil {
		l.t.Fatalf("older kernel: %v", err)
	}
}

// network is the subject's network with changes to its configuration.
func (l *lab) network(changes ...change) *testcni.Network {
	l.t.Helper()
	return l.MustNetwork(conflist(l.t, l.version, l.s.changed(changes...)))
}

// fault notes something that is not as the specification has it. The row goes on.
func (l *lab) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// want is a fault if it does not hold.
func (l *lab) want(holds bool, format string, args ...any) {
	if !holds {
		l.fault(format, args...)
	}
}

// succeeds is a fault if there is an error.
func (l *lab) succeeds(err error, format string, args ...any) {
	if err != nil {
		l.fault("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// container is a network namespace that ends when the test says so.
type container struct {
	*testnet.NS
	id   string
	life *life
}

// life is a test that ends earlier.
type life struct {
	testnet.T
	mu   sync.Mutex
	ends []func()
}

func (l *life) Cleanup(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, f)
}

// end runs what was to be done at the end.
func (l *life) end() {
	l.mu.Lock()
	ends := l.ends
	l.ends = nil
	l.mu.Unlock()
	for _, f := range slices.Backward(ends) {
		f()
	}
}

func (l *lab) container() *container {
	l.t.Helper()
	l.mu.Lock()
	l.containers++
	id := fmt.Sprintf("container-%d", l.containers)
	l.mu.Unlock()
	of := &life{T: l.t}
	c := &container{testnet.New(of, id), id, of}
	l.t.Cleanup(of.end)
	return c
}

// call is an attachment of the container with eth0.
func (c *container) call() testcni.Call {
	return testcni.Call{ID: c.id, NetNS: c.Path(), IfName: "eth0"}
}

// withIP asks for an address, as CNI_ARGS has it. The reference bridge plugin does not know the argument that its
// IPAM does.
func withIP(c testcni.Call, ip string) testcni.Call {
	c.Args = append(slices.Clone(c.Args), [2]string{"IgnoreUnknown", "1"}, [2]string{"IP", ip})
	return c
}

// member is an attached container.
type member struct {
	*container
	call   testcni.Call
	ip     netip.Addr
	result *current.Result
}

// tryAdd attaches.
func (l *lab) tryAdd(n *testcni.Network, c testcni.Call) (*current.Result, error) {
	result, err := n.Add(context.Background(), c)
	if err == nil {
		l.mu.Lock()
		l.live = append(l.live, attachment{n, c})
		l.mu.Unlock()
	}
	return result, err
}

// add attaches a container; the test ends if that fails.
func (l *lab) add(n *testcni.Network, c *container, call testcni.Call) member {
	l.t.Helper()
	result, err := l.tryAdd(n, call)
	if err != nil {
		l.t.Fatalf("ADD %s %s: %v", call.ID, call.IfName, err)
	}
	ip, err := addressOf(result)
	if err != nil {
		l.t.Fatalf("ADD %s %s: %v", call.ID, call.IfName, err)
	}
	return member{c, call, ip, result}
}

func addressOf(r *current.Result) (netip.Addr, error) {
	if len(r.IPs) != 1 {
		return netip.Addr{}, fmt.Errorf("the result has addresses %v", r.IPs)
	}
	ip, ok := netip.AddrFromSlice(r.IPs[0].Address.IP)
	if !ok {
		return ip, fmt.Errorf("the result has address %v", r.IPs[0])
	}
	return ip.Unmap(), nil
}

// server attaches a new container.
func (l *lab) server() member {
	l.t.Helper()
	c := l.container()
	return l.add(l.net, c, c.call())
}

// gateway attaches the container that servers reach, with a program that listens.
func (l *lab) gateway() member {
	l.t.Helper()
	c := l.container()
	m := l.add(l.net, c, withIP(c.call(), gatewayAddr))
	l.listen(m)
	return m
}

func (l *lab) listen(m member) {
	l.t.Helper()
	at, err := m.Listen(netip.MustParseAddrPort(m.ip.String() + ":" + gatewayPort))
	if err != nil {
		l.t.Fatalf("listen: %v", err)
	}
	go func() {
		for {
			conn, err := at.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
}

// reaches connects from a container to another. On a busy machine that takes a while, and so does a neighbour that
// was not there a moment ago.
func (l *lab) reaches(from, to member) (err error) {
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		if err = dial(from, to, 5*time.Second); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// cutOff reports whether it cannot, with a retransmission's time for what is only late.
func (l *lab) cutOff(from, to member) bool { return dial(from, to, 1500*time.Millisecond) != nil }

func dial(from, to member, patience time.Duration) error {
	return from.Do(func() error {
		conn, err := net.DialTimeout("tcp4", to.ip.String()+":"+gatewayPort, patience)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// tryDel detaches, as a runtime does. The attachment is the runtime's no more, whatever comes of it.
func (l *lab) tryDel(n *testcni.Network, c testcni.Call) error {
	l.mu.Lock()
	l.live = slices.DeleteFunc(l.live, func(a attachment) bool { return a.call.ID == c.ID && a.call.IfName == c.IfName })
	l.mu.Unlock()
	return n.Del(context.Background(), c)
}

// del detaches; an error is a fault.
func (l *lab) del(m member) {
	l.succeeds(l.tryDel(l.net, m.call), "DEL %s %s", m.call.ID, m.call.IfName)
}

// finish detaches what is attached, the last first, and looks for left-overs.
func (l *lab) finish() {
	for _, a := range slices.Backward(slices.Clone(l.live)) {
		l.succeeds(l.tryDel(a.network, a.call), "at the end: DEL %s %s", a.call.ID, a.call.IfName)
	}
	l.nothingLeft("at the end")
}

// forget wipes libcni's cache: a host that lost /var/lib/cni/results.
func (l *lab) forget() {
	l.t.Helper()
	if err := os.RemoveAll(filepath.Join(l.Dir, "cache")); err != nil {
		l.t.Fatalf("cache: %v", err)
	}
}

// conf is the configuration that libcni would give to a plugin of the list.
func (l *lab) conf(list []entry, i int, more entry) []byte {
	l.t.Helper()
	whole := entry{"cniVersion": l.version, "name": networkName}
	for _, of := range []entry{list[i], more} {
		for key, value := range of {
			whole[key] = value
		}
	}
	text, err := json.Marshal(whole)
	if err != nil {
		l.t.Fatalf("configuration: %v", err)
	}
	return []byte(strings.ReplaceAll(string(text), "$IPAM", l.IPAM()))
}

// entry is the index of the plugin under test in a list.
func (l *lab) entry(list []entry) int {
	return slices.IndexFunc(list, func(e entry) bool { return e["type"] == l.s.plugin })
}

// exec runs a plugin with the bare protocol. An error is what the plugin printed.
func (l *lab) exec(plugin, verb string, conf []byte, c testcni.Call) ([]byte, error) {
	l.t.Helper()
	path, err := l.FindInPath(plugin, l.Path)
	if err != nil {
		l.t.Fatalf("%v", err)
	}
	args := &invoke.Args{Command: verb, ContainerID: c.ID, NetNS: c.NetNS, IfName: c.IfName, PluginArgs: c.Args, Path: strings.Join(l.Path, ":")}
	return l.ExecPlugin(context.Background(), path, conf, args.AsEnv())
}

// bare runs the plugin under test with its own entry.
func (l *lab) bare(verb string, c testcni.Call, more entry) ([]byte, error) {
	l.t.Helper()
	list := l.s.list()
	return l.exec(l.s.plugin, verb, l.conf(list, l.entry(list), more), c)
}

// addAll runs the plugins of the list in their order with ADD, and gives what the last one printed.
func (l *lab) addAll(c testcni.Call) (json.RawMessage, error) {
	l.t.Helper()
	var prev json.RawMessage
	list := l.s.list()
	for i, e := range list {
		more := entry{}
		if prev != nil {
			more["prevResult"] = prev
		}
		out, err := l.exec(e["type"].(string), "ADD", l.conf(list, i, more), c)
		if err != nil {
			return nil, err
		}
		prev = out
	}
	return prev, nil
}

// delAll runs them in reverse order with DEL.
func (l *lab) delAll(c testcni.Call, prev json.RawMessage) (printed string, err error) {
	l.t.Helper()
	list := l.s.list()
	for i, e := range slices.Backward(list) {
		more := entry{}
		if prev != nil {
			more["prevResult"] = prev
		}
		out, err := l.exec(e["type"].(string), "DEL", l.conf(list, i, more), c)
		printed += string(out)
		if err != nil {
			return printed, err
		}
	}
	return printed, nil
}

// check asks the plugin under test alone: in a chain the others have opinions of their own.
func (l *lab) check(m member) error {
	l.t.Helper()
	_, err := l.bare("CHECK", m.call, entry{"prevResult": m.result})
	return err
}

// errorOf is the error that a plugin printed.
func errorOf(err error) types.Error {
	var e *types.Error
	if errors.As(err, &e) {
		return *e
	}
	return types.Error{}
}

// refused is a fault unless the error has the code and says everything.
func (l *lab) refused(err error, code uint, what string, says ...string) {
	if err == nil {
		l.fault("%s: accepted", what)
		return
	}
	e := errorOf(err)
	l.want(e.Code == code, "%s: code %d instead of %d: %v", what, e.Code, code, err)
	text := e.Msg + " " + e.Details
	for _, s := range says {
		l.want(strings.Contains(text, s), "%s: the message does not say %q: %s", what, s, text)
	}
}

// answer is how a connection of a container's fails, within the time that an answer may take (P11).
func answer(from member, to string, control *leak.Control) (says string) {
	var err error
	var took time.Duration
	limit := control.Limit(func() {
		began := time.Now()
		err = from.Do(func() error {
			conn, err := net.DialTimeout("tcp4", to, 3*time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		})
		took = time.Since(began)
	})
	if took > limit {
		return fmt.Sprintf("answered after %v", took)
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return fmt.Sprint(err)
}
