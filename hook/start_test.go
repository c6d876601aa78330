package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// attached is a container that an mcpnet network's wire ends in, and the documents of both.
type attached struct {
	*fixture
	container *testnet.NS
	pid       int
}

func newAttached(t *testing.T, text, mode string) attached {
	b := newFixture(t, text)
	kept := attestations
	attestations = attest.In(filepath.Join(t.TempDir(), attest.Dir))
	t.Cleanup(func() { attestations = kept })
	network, container := testnet.New(t, "network"), testnet.New(t, "container")
	mark := topology.Mark{Owner: topology.OwnerCNI, ID: "e", Store: "01234567"}
	for _, args := range [][]string{
		{"link", "add", "mcpw0", "type", "veth", "peer", "name", "eth0", "netns", filepath.Base(container.Path())},
		{"link", "set", "mcpw0", "alias", mark.String(), "up"},
	} {
		ip(t, network, args...)
	}
	ip(t, container, "link", "set", "eth0", "up")
	pid := process(t, container.Path(), "--mount")
	b.write(filepath.Join(b.root, "id", "state.json"),
		fmt.Sprintf(`{"init_process_pid":%d,"config":{"labels":["bundle=%s"]}}`, pid, b.bundle))
	dir := filepath.Join(surface.CNI.Store(surface.Root(b.store)), "networks", "netid")
	b.write(filepath.Join(dir, "network.json"), strings.Replace(networkDocument(topology.OwnerCNI, mode), "CHOWN", "NET_BIND_SERVICE", 1))
	b.write(filepath.Join(dir, "endpoints", "e.json"), `{"schema":1,"id":"e","network":"netid","owner":"cni","role":"server",`+
		`"ip":"172.20.0.9","mac":"02:00:ac:14:00:09"}`)
	return attached{b, container, pid}
}

func ip(t *testing.T, n *testnet.NS, args ...string) {
	t.Helper()
	if out, err := n.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// TestStart: a server that conforms is attested. One that does not is refused where the network enforces its policy,
// and is never attested. A default runtime refuses in every mode what it could not harden.
func TestStart(t *testing.T) {
	const create, start = "create --bundle BUNDLE id", "--root ROOT start id"
	another := func(a attached) {
		ip(a.t, a.container, "link", "add", "out", "up", "type", "veth", "peer", "name", "out2")
	}
	for name, tt := range map[string]struct {
		mode      string
		create    string // or nothing hardens the container
		config    string
		change    func(attached)
		says      string
		attested  bool
		selective bool
	}{
		"conforms":                  {mode: "enforce", create: create, config: config, attested: true},
		"conforms, audited":         {mode: "audit", create: create, config: config, attested: true},
		"another way out":           {mode: "enforce", create: create, config: config, change: another, says: "has another way out: out; the network's mcpnet.caps.mode"},
		"another way out, guarded":  {mode: "guard", create: create, config: config, change: another, says: "has another way out: out"},
		"not hardened, guarded":     {mode: "guard", config: config},
		"another way out, audited":  {mode: "audit", create: create, config: config, change: another},
		"not hardened":              {mode: "enforce", config: config, says: "holds CAP_NET_RAW"},
		"not hardened, audited":     {mode: "audit", config: config},
		"not hardened, off":         {mode: "off", config: config},
		"not hardened, default":     {mode: "audit", config: config, says: "was not known to be on an mcpnet network", selective: true},
		"hard by hand, but open":    {mode: "audit", config: strings.Replace(hardConfig, "/proc/kcore", "/proc/x", 1), says: "open /proc/kcore", selective: true},
		"hard by hand, default":     {mode: "enforce", config: hardConfig, attested: true, selective: true},
		"hard by hand, but open, e": {mode: "enforce", config: strings.Replace(hardConfig, "/proc/kcore", "/proc/x", 1), says: "open /proc/kcore"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttached(t, tt.config, tt.mode)
			if tt.create != "" {
				if err := a.call(false, tt.create); err != nil {
					t.Fatal(err)
				}
			}
			if tt.change != nil {
				tt.change(a)
			}
			err := a.call(tt.selective, start)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
			if _, ok, err := attestations.Attested("e"); ok != tt.attested || err != nil {
				t.Errorf("attested %v, %v", ok, err)
			}
		})
	}
}

// hardConfig is config as a careful user has it.
var hardConfig = strings.NewReplacer(`["CAP_NET_RAW","CAP_NET_BIND_SERVICE"],"effective":["CAP_NET_RAW"]`, `["CAP_NET_BIND_SERVICE"]`,
	`"process":{`, `"process":{"noNewPrivileges":true,`).Replace(config)
