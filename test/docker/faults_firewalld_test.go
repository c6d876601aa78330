package docker_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
)

// TestFaultsFirewalld is TestFaultsHost with a real firewalld, which Docker uses for its own rules: it was there first.
func TestFaultsFirewalld(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		f := newFaultHost(t, version)
		firewalld := f.withFirewalld()
		f.InstallPlugin(f.plugin, "MCPNET_LOG=debug")
		f.begin("mcpnet")
		f.sound()
		h := &hostFaults{faultLab: f, streams: f.hold(), gateway: f.inside("gateway")}
		h.intact = h.settled()
		for _, fault := range []hostFault{
			{name: "firewall-cmd --reload", do: func() { firewalld.Cmd("--reload") }, docker: true},
			{name: "firewall-cmd --complete-reload", do: func() { firewalld.Cmd("--complete-reload") }, docker: true},
			{name: "firewalld restarted", do: firewalld.Restart, docker: true},
			{name: "uplink taken out of its zone",
				do: func() { firewalld.Cmd("--zone=mcpnet", "--remove-interface=mcp-secure") }},
		} {
			h.survives(fault)
		}
		h.streams.finish()
		f.sound()
	})
}

// withFirewalld puts a firewalld on the host, and starts Docker anew, which looks for one at its start.
func (f *faultLab) withFirewalld() *testengine.Firewalld {
	f.t.Helper()
	firewalld := testengine.StartFirewalld(f.t, "1.3", f.world.Host.Path())
	bus := f.Path("/run/dbus/system_bus_socket")
	if err := os.MkdirAll(filepath.Dir(bus), 0o755); err != nil {
		f.t.Fatal(err)
	}
	firewalld.ServeBus(bus)
	f.Restart()
	return firewalld
}
