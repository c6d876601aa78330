// Package testcni runs CNI plugins on hosts made of namespaces, as a runtime does: through libcni, one process for each
// call, many at once. What the plugins keep lies in a directory of the test's.
package testcni

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// Host is a host with CNI plugins.
type Host struct {
	t  testnet.T
	NS *testnet.NS
	// Dir holds the store, the addresses of host-local and libcni's cache.
	Dir string
	// Pins is where mcpnet pins the namespaces of networks.
	Pins string
	// Bus is the address of the host's system bus. Where nothing else is said there is none.
	Bus string
	// Path is where plugins are looked for: mcpnet from the sources as they are, and the reference plugins.
	Path []string
	// Env is what plugins find in their environment besides, in place of the test's own.
	Env []string
}

// plugins is mcpnet, built once for all tests of a process that use it at the same time.
var plugins struct {
	sync.Mutex
	path  string
	users int
	remove
}

// remove is what clears up when the last test is done with the plugin, whichever has built it.
type remove []func()

// builder is a test whose files outlive it.
type builder struct {
	testnet.T
	remove *remove
}

// Cleanup has fn called when the last test is done.
func (b builder) Cleanup(fn func()) { *b.remove = append(*b.remove, fn) }

// New makes a host of a namespace.
func New(t testnet.T, ns *testnet.NS) *Host {
	t.Helper()
	dir, err := os.MkdirTemp("", fmt.Sprintf("mcpnet-test-%d-", os.Getpid()))
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &Host{t: t, NS: ns, Dir: dir, Pins: testnet.NewPins(t), Bus: "unix:path=" + filepath.Join(dir, "bus"),
		Path: []string{filepath.Join(dir, "bin"), testengine.CNITools(t)}}
	if err := os.MkdirAll(h.Path[0], 0o755); err != nil {
		t.Fatalf("%v", err)
	}
	// A name of its own for the file, which goes with the test that had it built.
	if err := os.Link(Plugin(t), filepath.Join(h.Path[0], "mcpnet")); err != nil {
		t.Fatalf("%v", err)
	}
	return h
}

// Plugin builds the plugin and gives its path, which is good until the test ends.
func Plugin(t testnet.T) string {
	t.Helper()
	plugins.Lock()
	defer plugins.Unlock()
	if plugins.users == 0 {
		plugins.path = testengine.GoFile(builder{t, &plugins.remove}, "", "cni").Source
	}
	plugins.users++
	t.Cleanup(release)
	return plugins.path
}

func release() {
	plugins.Lock()
	defer plugins.Unlock()
	if plugins.users--; plugins.users > 0 {
		return
	}
	for _, fn := range plugins.remove {
		fn()
	}
	plugins.remove = nil
}

// IPAM is the directory for host-local's dataDir.
func (h *Host) IPAM() string { return filepath.Join(h.Dir, "ipam") }

// Store is the directory of mcpnet's own documents.
func (h *Host) Store() string { return filepath.Join(h.Dir, "store") }

// ExecPlugin runs a plugin in the host's namespace.
func (h *Host) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) (out []byte, err error) {
	raw := &invoke.RawExec{Stderr: os.Stderr}
	failed := h.NS.Do(func() error {
		own := []string{"MCPNET_STORE=" + h.Store(), "MCPNET_NETNS=" + h.Pins, "DBUS_SYSTEM_BUS_ADDRESS=" + h.Bus}
		out, err = raw.ExecPlugin(ctx, path, stdin, slices.Concat(environ, own, h.Env))
		return nil
	})
	if err == nil {
		err = failed
	}
	return out, err
}

// FindInPath finds a plugin.
func (h *Host) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}

// Decode reads the answer to VERSION.
func (h *Host) Decode(json []byte) (version.PluginInfo, error) {
	return (&version.PluginDecoder{}).Decode(json)
}

// Network is a conflist on a host.
type Network struct {
	*Host
	List *libcni.NetworkConfigList
	cni  *libcni.CNIConfig
}

// Network reads a conflist. $IPAM in it stands for the host's directory of addresses.
func (h *Host) Network(conflist string) (*Network, error) {
	list, err := libcni.NetworkConfFromBytes([]byte(strings.ReplaceAll(conflist, "$IPAM", h.IPAM())))
	if err != nil {
		return nil, err
	}
	return &Network{h, list, libcni.NewCNIConfigWithCacheDir(h.Path, filepath.Join(h.Dir, "cache"), h)}, nil
}

// MustNetwork is Network for a conflist that has to be right.
func (h *Host) MustNetwork(conflist string) *Network {
	h.t.Helper()
	n, err := h.Network(conflist)
	if err != nil {
		h.t.Fatalf("conflist: %v", err)
	}
	return n
}

// Call is one attachment as a runtime asks for it.
type Call struct {
	ID, NetNS, IfName string
	Args              [][2]string
	Capabilities      map[string]any
}

func (c Call) runtime() *libcni.RuntimeConf {
	rt := &libcni.RuntimeConf{ContainerID: c.ID, NetNS: c.NetNS, IfName: c.IfName, Args: c.Args, CapabilityArgs: c.Capabilities}
	if rt.IfName == "" {
		rt.IfName = "eth0"
	}
	return rt
}

// Add attaches.
func (n *Network) Add(ctx context.Context, c Call) (*current.Result, error) {
	result, err := n.cni.AddNetworkList(ctx, n.List, c.runtime())
	if err != nil {
		return nil, err
	}
	return current.NewResultFromResult(result)
}

// Del detaches.
func (n *Network) Del(ctx context.Context, c Call) error {
	return n.cni.DelNetworkList(ctx, n.List, c.runtime())
}

// Check checks.
func (n *Network) Check(ctx context.Context, c Call) error {
	return n.cni.CheckNetworkList(ctx, n.List, c.runtime())
}

// GC collects what belongs to none of the attachments.
func (n *Network) GC(ctx context.Context, living ...Call) error {
	var valid []types.GCAttachment
	for _, c := range living {
		rt := c.runtime()
		valid = append(valid, types.GCAttachment{ContainerID: rt.ContainerID, IfName: rt.IfName})
	}
	return n.cni.GCNetworkList(ctx, n.List, &libcni.GCArgs{ValidAttachments: valid})
}

// Status asks whether an ADD could be served.
func (n *Network) Status(ctx context.Context) error {
	return n.cni.GetStatusNetworkList(ctx, n.List)
}

// Validate compares the list with the versions that its plugins support, and gives the capabilities that it declares.
func (n *Network) Validate(ctx context.Context) ([]string, error) {
	return n.cni.ValidateNetworkList(ctx, n.List)
}
