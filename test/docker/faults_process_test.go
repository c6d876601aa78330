package docker_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testengine"
)

// TestFaultsProcesses ends the plugin and dockerd in every way under the attack of a server that comes back with them.
// The network's namespace lives through all of it but a reboot, and so does every connection whose containers run on.
func TestFaultsProcesses(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		f := newFaultLab(t, version, "mcpnet")
		f.sound()
		inode := f.inode("mcp-secure")
		f.pluginFaults()
		f.through("dockerd: SIGTERM, start", 60*time.Second, f.Restart)
		f.comesBack()
		held := f.hold()
		f.through("dockerd: kill -9, start", 60*time.Second, func() {
			f.Kill()
			held.move() // without an engine and without a plugin; at its start the engine ends the containers that it finds
			f.Restart()
		})
		f.comesBack()
		f.sameSpace(inode)
		f.through("reboot of the host", 60*time.Second, func() { f.Stop(); f.loseKernel(); f.Restart() })
		f.comesBack()
		f.Stop()
		f.loseKernel()
		f.loseStore()
		f.Restart()
		f.revive()
		f.standing(20 * time.Second)
		f.comesBack()
		if now := f.inode("mcp-secure"); now == inode {
			t.Error("the namespace lived through a reboot: this shows nothing")
		}
		f.end()
	})
}

// pluginFaults end the plugin. No process is in the way of a connection between a server and its gateway: not a byte
// gets lost.
func (f *faultLab) pluginFaults() {
	f.t.Helper()
	inode, held := f.inode("mcp-secure"), f.hold()
	for _, fault := range []struct {
		name string
		do   func()
	}{
		{"plugin: SIGTERM", func() { f.signalPlugin(syscall.SIGTERM) }},
		{"plugin: kill -9", func() { f.signalPlugin(syscall.SIGKILL) }},
		{"plugin: disable -f, enable", func() {
			f.MustDocker("plugin", "disable", "-f", testengine.PluginName)
			held.move()
			f.MustDocker("plugin", "enable", testengine.PluginName)
		}},
		{"plugin: rm -f, installed again", func() {
			f.MustDocker("plugin", "rm", "-f", testengine.PluginName)
			held.move()
			f.InstallPlugin(f.plugin, "MCPNET_LOG=debug")
		}},
		{"plugin: replaced by the script", f.installAnew},
	} {
		before := held.lost()
		f.through(fault.name, 20*time.Second, fault.do)
		held.quiet(fault.name, before)
		f.sameSpace(inode)
		f.comesBack()
	}
	f.killing(10 * time.Second)
	f.sameSpace(inode)
	held.finish()
}

// sameSpace fails unless the network's namespace is the one that it was.
func (f *faultLab) sameSpace(inode uint64) {
	f.t.Helper()
	if now := f.inode("mcp-secure"); now != inode {
		f.t.Errorf("the network's namespace is %d, and was %d", now, inode)
	}
}

// pluginPID finds the plugin's process, or 0. Only the plugin of this test's engine is in the namespace of its host.
func (f *faultLab) pluginPID() int {
	host, err := os.Stat(f.world.Host.Path())
	if err != nil {
		return 0
	}
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, file := range names {
		proc := filepath.Dir(file)
		name, _ := os.ReadFile(file)
		netns, err := os.Stat(filepath.Join(proc, "ns/net"))
		if err != nil || strings.TrimSpace(string(name)) != "mcpnet-plugin" || !os.SameFile(netns, host) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(proc))
		return pid
	}
	return 0
}

func (f *faultLab) signalPlugin(signal syscall.Signal) {
	f.t.Helper()
	if pid := f.pluginPID(); pid == 0 || syscall.Kill(pid, signal) != nil {
		f.t.Error("there is no plugin to signal")
	}
}

// killPlugin kills the plugin time and again, and counts. Docker disables a plugin that dies within the half second
// after it was started, before it was asked anything; a life is longer here.
func (f *faultLab) killPlugin(until time.Time) (kills int) {
	for last := 0; time.Now().Before(until); {
		pid := f.pluginPID()
		if pid == 0 || pid == last {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		time.Sleep(time.Second + time.Duration(rand.IntN(500))*time.Millisecond)
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			last, kills = pid, kills+1
		}
	}
	return kills
}

// comesBack waits until everything works again, also for a new container, and nothing is left over.
func (f *faultLab) comesBack() {
	f.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, err := f.Docker("run", "--rm", "--network", "mcp-secure", faultImage, "/bin/probe", "http", faultGateway+":8080")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("no new container after 30 s: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	f.sound()
	f.noOrphans()
}

// noOrphans compares what is in the network's namespace with the engine's own endpoints: wires, elements of the map of
// wires and, on kernels where each wire has one, chains. An endpoint that was half made when the plugin was killed may
// stay for orphanAge (two minutes): dead, its ends down in the namespace and on the host, and guarded.
func (f *faultLab) noOrphans() {
	f.t.Helper()
	var containers, half, wires, elements, chains int
	for range 100 {
		containers = len(strings.Fields(f.MustDocker("ps", "-q", "--filter", "network=mcp-secure")))
		half = count(f.onHost("ip -br link | grep '^mcpc.*DOWN' || true"))
		wires = count(f.inSpace("ip -br link | grep ^mcpw || true"))
		elements = count(f.inSpace("nft list map netdev mcpnet endpoint-wire | grep -o '172[0-9.]* : ' || true"))
		chains = count(f.inSpace("nft list table netdev mcpnet | grep 'chain in-' || true"))
		if wires == containers+half && elements == wires && (chains == 0 || chains == wires) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	f.t.Errorf("%d containers, %d half made, %d wires, %d elements, %d chains:\n%s\n%s",
		containers, half, wires, elements, chains, f.onHost("ip -br link"),
		f.inSpace("ip -br link; nft list map netdev mcpnet endpoint-wire"))
}

// count is the number of lines.
func count(text string) int {
	if text == "" {
		return 0
	}
	return strings.Count(text, "\n") + 1
}

// killing kills the plugin at random moments while containers start and stop.
func (f *faultLab) killing(long time.Duration) {
	f.t.Helper()
	end := time.Now().Add(long)
	var wait sync.WaitGroup
	var mu sync.Mutex
	done, failed := 0, map[string]int{}
	for i := range 2 {
		wait.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				_, err := f.Docker("run", "--rm", "--name", fmt.Sprintf("brief%d-%d", i, n), "--network", "mcp-secure", "--stop-signal", "KILL", faultImage, "true")
				mu.Lock()
				if err == nil {
					done++
				} else {
					_, reason, _ := strings.Cut(err.Error(), "response from daemon: ")
					failed[strings.TrimSpace(reason)]++
				}
				mu.Unlock()
			}
		})
	}
	kills := f.killPlugin(end)
	wait.Wait()
	f.t.Logf("%s: plugin killed %d times: %d containers ran, failed: %v", f.version, kills, done, failed)
	if kills < 2 || done == 0 {
		f.t.Errorf("the plugin was killed %d times while %d containers ran: this shows nothing", kills, done)
	}
	for _, name := range strings.Fields(f.MustDocker("ps", "-a", "--format", "{{.Names}}", "--filter", "name=brief")) {
		_, _ = f.Docker("rm", "-f", name)
	}
	f.standing(20 * time.Second)
	f.comesBack()
}

// loseKernel takes away what a reboot of the host takes away.
func (f *faultLab) loseKernel() {
	f.t.Helper()
	for _, name := range f.pins() {
		if _, err := f.Exec("ip", "netns", "delete", name); err != nil {
			f.t.Error(err)
		}
	}
	f.onHost("for l in $(ip -br link | grep -o '^mcp[a-z0-9-]*'); do ip link del $l 2>/dev/null || true; done; nft flush ruleset")
}

// loseStore empties the store of the plugin of an engine that is stopped.
func (f *faultLab) loseStore() {
	f.t.Helper()
	stores, _ := filepath.Glob(f.Path("/var/lib/docker/plugins/*/propagated-mount/v2"))
	if len(stores) != 1 {
		f.t.Fatalf("stores: %v", stores)
	}
	if err := os.RemoveAll(stores[0]); err != nil {
		f.t.Fatal(err)
	}
}

// revive starts what the engine could not start by itself: it starts containers before it answers, and so before it
// could tell a plugin without a store about its networks. The user sees containers that have exited, and why.
func (f *faultLab) revive() {
	f.t.Helper()
	for _, name := range []string{"gateway", "other", "server"} {
		state := f.MustDocker("inspect", "--format", "{{.State.Status}} {{.State.Error}}", name)
		f.t.Logf("%s: store and kernel lost: %s: %s", f.version, name, state)
		if _, err := f.Docker("start", name); err != nil {
			f.t.Errorf("start %s: %v", name, err)
		}
	}
}

// end removes everything and looks for what is left.
func (f *faultLab) end() {
	f.t.Helper()
	f.MustDocker("rm", "-f", "server", "other", "gateway")
	f.MustDocker("network", "rm", "mcp-secure")
	f.clean()
	f.held()
}
