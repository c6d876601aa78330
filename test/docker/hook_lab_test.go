package docker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/operator"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

const (
	runtimePath   = "/usr/local/bin/mcpnet-runtime"
	selectivePath = "/usr/local/bin/mcpnet-runtime-default"
)

// defaultCaps is the sets of a process that holds NET_BIND_SERVICE and nothing else, or may at most.
const defaultCaps = uint64(1 << 10)

// newHookLab is a lab whose engine has mcpnet-runtime: as runtime "mcpnet", and as the default one if that is named.
func newHookLab(t *testing.T, version, defaultRuntime string, files map[string]string) *lab {
	t.Helper()
	program := testengine.GoFile(t, "", "hook").Source
	runtimes := map[string]any{"mcpnet": map[string]string{"path": runtimePath}, "selective": map[string]string{"path": selectivePath},
		"spy": map[string]string{"path": "/usr/local/bin/spy"}}
	daemon := map[string]any{"runtimes": runtimes}
	if defaultRuntime != "" {
		daemon["default-runtime"] = defaultRuntime
	}
	text, err := json.Marshal(daemon)
	if err != nil {
		t.Fatal(err)
	}
	world := testnet.NewWorld(t)
	l := &lab{t: t, world: world, version: version, Engine: testengine.Start(t, testengine.Options{Version: version, NetNS: world.Host.Path(),
		DaemonJSON: string(text), Files: files, Programs: map[string]string{runtimePath: program, selectivePath: program}})}
	l.InstallPlugin(testengine.BuildPlugin(t), "MCPNET_LOG=debug")
	l.Import(image, testengine.GoFile(t, "/bin/probe", "test/demo/probe"), testengine.GoFile(t, "/bin/status", "test/docker/status"),
		testengine.GoFile(t, "/bin/sockets", "test/sockets"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("engine's log, its end:\n%s", tail(l.Logs(), 80))
		}
	})
	return l
}

// held is what /proc/self/status says of a process.
type held struct {
	bounding, effective, permitted, inheritable, ambient uint64
	sealed                                               bool
}

func parseHeld(t *testing.T, status string) (h held) {
	t.Helper()
	found := 0
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		set := map[string]*uint64{"CapBnd": &h.bounding, "CapEff": &h.effective, "CapPrm": &h.permitted, "CapInh": &h.inheritable, "CapAmb": &h.ambient}[key]
		switch {
		case set != nil:
			if _, err := fmt.Sscanf(strings.TrimSpace(value), "%x", set); err == nil {
				found++
			}
		case key == "NoNewPrivs":
			h.sealed = strings.TrimSpace(value) == "1"
		}
	}
	if found != 5 {
		t.Fatalf("no status of a process: %s", status)
	}
	return h
}

// wantHard fails where a process holds anything but NET_BIND_SERVICE, or may gain more.
func wantHard(t *testing.T, what, status string) {
	t.Helper()
	h := parseHeld(t, status)
	if h.bounding != defaultCaps || h.effective != defaultCaps || h.permitted != defaultCaps || h.inheritable&^defaultCaps != 0 || h.ambient != 0 || !h.sealed {
		t.Errorf("%s: %v", what, h)
	}
}

// endpoint is what status says of a container, once it says what is wanted or time is up.
func (l *lab) endpoint(container string, ready func(report.Endpoint) bool) report.Endpoint {
	l.t.Helper()
	var last report.Endpoint
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		s, err := operator.NewClient(l.Path("/run/docker/plugins/mcpnet.sock")).Status(l.t.Context())
		if err != nil {
			continue // the plugin is being started
		}
		for _, n := range s.Networks {
			for _, p := range n.Endpoints {
				if p.Container == container {
					if last = p; ready(p) {
						return p
					}
				}
			}
		}
	}
	l.t.Errorf("container %s: %+v", container, last)
	return last
}

// String shows the sets as /proc does.
func (h held) String() string {
	return fmt.Sprintf("bounding %x effective %x permitted %x inheritable %x ambient %x no_new_privs %v", h.bounding, h.effective, h.permitted, h.inheritable, h.ambient, h.sealed)
}
