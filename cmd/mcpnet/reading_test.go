package main

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// asCommand is set where this program is to be the command.
const asCommand = "MCPNET_TEST_COMMAND"

// TestReadingChangesNothing: no command that reads changes a file of the store, or anything in the kernel, whatever
// state the documents are in: whole, of a later version, of an earlier one, or broken. There is drift to be read, and a
// cache of what the kernel offers is missing.
func TestReadingChangesNothing(t *testing.T) {
	world, root := testnet.NewWorld(t), t.TempDir()
	store := surface.CNI.Store(root)
	for i, change := range []func([]byte) []byte{
		func(data []byte) []byte { return data },
		func(data []byte) []byte { return []byte(strings.Replace(string(data), `"schema":`, `"schema":9`, 1)) },
		func(data []byte) []byte { return []byte(strings.Replace(string(data), `"schema":2`, `"schema":1`, 1)) },
		func(data []byte) []byte { return data[:len(data)/2] },
	} {
		populate(t, world, store, i)
		for _, document := range []string{"network.json", fmt.Sprintf("endpoints/s%d.json", i)} {
			path := filepath.Join(store, "v2", fmt.Sprint("net", i), document)
			data, err := os.ReadFile(path)
			check(t, err)
			check(t, os.WriteFile(path, change(data), 0o600))
		}
	}
	check(t, os.Remove(filepath.Join(store, "fact-kernel")))
	world.Pinned("mcp-0").Run("nft", "flush", "ruleset")
	world.Host.Run("nft", "delete", "table", "inet", "mcpnet")
	before := everything(t, world, root)
	for _, command := range []string{"status", "status --json", "plan", "plan --json", "help", "--version"} {
		c := world.Host.Command(os.Args[0], strings.Fields(command+" --store "+root+" --socket /nonexistent")...)
		c.Env = append(os.Environ(), asCommand+"=1", surface.NamespacesVariable+"="+world.Pins)
		out, _ := c.CombinedOutput() // there is drift
		if strings.HasPrefix(command, "status") && !strings.Contains(string(out), "net0") {
			t.Errorf("%s: %s", command, out)
		}
		if diff := cmp.Diff(before, everything(t, world, root)); diff != "" {
			t.Errorf("%s changed:\n%s", command, diff)
		}
	}
}

// populate makes a network with a server and a gateway.
func populate(t *testing.T, world *testnet.World, store string, i int) {
	t.Helper()
	front, err := percall.Open(t.Context(), percall.Config{StoreDir: store, NetNS: world.Host.Path(), Pins: ns.HostPins(world.Pins),
		Owner: topology.OwnerCNI, Log: testhost.Log(t)})
	check(t, err)
	defer front.Close()
	subnet := netip.MustParsePrefix(fmt.Sprintf("172.%d.0.0/16", 20+i))
	gateway := subnet.Addr().Next().Next()
	p, err := policy.Parse(map[string]string{policy.KeyGateway: gateway.String() + ":8080", policy.KeyBridge: fmt.Sprint("mcp-", i)})
	check(t, err)
	n := topology.Network{ID: fmt.Sprint("net", i), Name: fmt.Sprint("net", i), Bridge: p.Bridge, Subnet: subnet, BridgeAddr: subnet.Addr().Next(), Policy: p}
	for id, e := range map[string]topology.Endpoint{"s": {IP: gateway.Next(), Role: topology.RoleServer}, "g": {IP: gateway, Role: topology.RoleGateway}} {
		e.ID, e.Container, e.Interface = fmt.Sprint(id, i), id, "eth0"
		_, _, err := front.Attach(t.Context(), n, plan.Attachment{Endpoint: e, Sandbox: testnet.New(t, e.ID).Path()})
		check(t, err)
	}
}

// everything is the kernel's state, and every file below a directory with its time and its text.
func everything(t *testing.T, world *testnet.World, root string) (lines []string) {
	t.Helper()
	lines = strings.Split(testhost.State(t, world), "\n")
	check(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %v %v", path, info.Mode(), info.ModTime().UnixNano())
		if entry.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += " " + string(data)
		}
		lines = append(lines, line)
		return nil
	}))
	check(t, world.Host.Do(func() error {
		names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
		lines = append(lines, "tables of iptables-legacy: "+string(names))
		return err
	}))
	return lines
}
