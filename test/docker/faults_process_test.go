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
func TestFaultsProcesses(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		f := newFaultLab(t, version, "mcpnet")
		f.sound()
		f.through("plugin: SIGTERM", 10*time.Second, func() { f.signalPlugin(syscall.SIGTERM) })
		f.comesBack()
		f.through("plugin: disable, enable", 20*time.Second, func() {
			f.MustDocker("plugin", "disable", "-f", testengine.PluginName)
			f.MustDocker("plugin", "enable", testengine.PluginName)
		})
		f.comesBack()
		f.through("plugin: replaced by the script", 20*time.Second, func() {
			if _, err := f.Exec(filepath.Join(testengine.ModuleRoot(t), "scripts/plugin-install.sh"), f.plugin); err != nil {
				t.Fatal(err)
			}
		})
		f.comesBack()
		f.killing(10 * time.Second)
		f.through("dockerd: SIGTERM, start", 60*time.Second, f.Restart)
		f.comesBack()
		f.through("dockerd: kill -9, start", 60*time.Second, func() { f.Kill(); f.Restart() })
		f.comesBack()
		f.through("reboot of the host", 60*time.Second, func() { f.Stop(); f.loseKernel(); f.Restart() })
		f.flushed = true
		f.comesBack()
		f.Stop()
		f.loseKernel()
		f.loseStore()
		f.Restart()
		f.revive()
		f.standing(20 * time.Second)
		f.comesBack()
		f.end()
	})
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

// noOrphans compares wires and chains with the engine's own endpoints. An endpoint that was half made when the plugin was
// killed may stay for orphanAge (two minutes): dead, both of its ends down in the host, and guarded.
func (f *faultLab) noOrphans() {
	f.t.Helper()
	count := func(line string) int {
		n, _ := strconv.Atoi(f.onHost(line + " | wc -l"))
		return n
	}
	var containers, half, wires, chains int
	for range 100 {
		containers = len(strings.Fields(f.MustDocker("ps", "-q", "--filter", "network=mcp-secure")))
		half = count("ip -br link | grep '^mcpc.*DOWN'")
		wires, chains = count("ip -br link | grep ^mcpw"), count("nft list table netdev mcpnet | grep 'chain in-'")
		if wires == containers+half && chains == wires {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	f.t.Errorf("%d containers, %d half made, %d wires, %d chains:\n%s", containers, half, wires, chains, f.onHost("ip -br link; nft list table netdev mcpnet | grep 'chain in-'"))
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
	for _, name := range strings.Fields(f.MustDocker("ps", "-a", "--format", "{{.Names}}", "--filter", "name=brief")) {
		_, _ = f.Docker("rm", "-f", name)
	}
	f.standing(20 * time.Second)
	f.comesBack()
}

// loseKernel takes away what a reboot of the host takes away.
func (f *faultLab) loseKernel() {
	f.t.Helper()
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
	left := f.onHost("{ ip -br link; nft list tables; iptables-save; ip6tables-save; } | grep -i mcp || true")
	if left != "" {
		f.t.Errorf("left behind:\n%s", left)
	}
	f.held()
}
