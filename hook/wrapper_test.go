package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const config = `{"process":{"args":["sh"],"capabilities":{"bounding":["CAP_NET_RAW","CAP_NET_BIND_SERVICE"],"effective":["CAP_NET_RAW"]}},
"linux":{"namespaces":[{"type":"mount"},{"type":"network"},{"type":"pid"},{"type":"ipc"},{"type":"uts"}],
"maskedPaths":["/proc/kcore"],"readonlyPaths":["/proc/sys","/proc/sysrq-trigger"]}}`

// fixture is a bundle and a runtime's state, as an engine leaves them.
type fixture struct {
	t                   *testing.T
	bundle, root, store string
}

func newFixture(t *testing.T, text string) *fixture {
	b := &fixture{t, t.TempDir(), t.TempDir(), t.TempDir()}
	t.Setenv("MCPNET_STORE", b.store)
	b.write(filepath.Join(b.bundle, oci.ConfigFile), text)
	return b
}

func (b *fixture) write(path, text string) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *fixture) read(path string) string {
	b.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// call has the wrapper intercept a command line, in which BUNDLE and ROOT stand for the fixture's.
func (b *fixture) call(selective bool, line string) error {
	line = strings.NewReplacer("BUNDLE", b.bundle, "ROOT", b.root).Replace(line)
	w := wrapper{call: oci.ParseCall(strings.Fields(line)), selective: selective, real: "/nonexistent"}
	return w.intercept()
}

func TestCreate(t *testing.T) {
	b := newFixture(t, config)
	if err := b.call(true, "--root ROOT create --bundle BUNDLE id"); err != nil {
		t.Fatal(err)
	}
	if got := b.read(filepath.Join(b.bundle, oci.ConfigFile)); got != config {
		t.Errorf("a container off mcpnet networks is changed: %s", got)
	}
	if err := b.call(false, "--root ROOT create --bundle BUNDLE id"); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Process struct {
			NoNewPrivileges bool
			Capabilities    map[string][]string
		}
	}
	if err := json.Unmarshal([]byte(b.read(filepath.Join(b.bundle, oci.ConfigFile))), &got); err != nil {
		t.Fatal(err)
	}
	if c := got.Process.Capabilities; !got.Process.NoNewPrivileges || fmt.Sprint(c["bounding"], c["effective"]) != "[CAP_NET_BIND_SERVICE] []" {
		t.Errorf("%+v", got)
	}
}

// TestExec: what was hardened at creation stays so for whatever is executed later, and nothing else is touched.
func TestExec(t *testing.T) {
	b := newFixture(t, config)
	b.write(filepath.Join(b.root, "id", "state.json"), fmt.Sprintf(`{"init_process_pid":%d,"config":{"labels":["bundle=%s"]}}`, os.Getpid(), b.bundle))
	document := filepath.Join(t.TempDir(), "process.json")
	const process = `{"args":["id"],"capabilities":{"bounding":["CAP_SYS_ADMIN","CAP_NET_BIND_SERVICE"]},"x":1}`
	b.write(document, process)
	exec := "--root ROOT exec --process " + document + " --detach id"
	if err := b.call(true, exec); err != nil {
		t.Fatal(err)
	}
	if got := b.read(document); got != process {
		t.Errorf("a container that was not hardened: %s", got)
	}
	if err := b.call(false, "--root ROOT create --bundle BUNDLE id"); err != nil {
		t.Fatal(err)
	}
	for _, refused := range []string{"CAP_SYS_ADMIN", "NONSENSE"} {
		if err := b.call(true, "--root ROOT exec --cap "+refused+" id sh"); err == nil || !strings.Contains(err.Error(), "no more than NET_BIND_SERVICE") {
			t.Errorf("exec --cap %s: %v", refused, err)
		}
	}
	if err := b.call(true, "--root ROOT exec --cap CAP_NET_BIND_SERVICE id sh"); err != nil {
		t.Error(err)
	}
	b.write(document, strings.Replace(process, "capabilities", "capabilitieſ", 1))
	if err := b.call(true, exec); err == nil || !strings.Contains(err.Error(), `is not "capabilities"`) {
		t.Errorf("a process document with a folded key: %v", err)
	}
	b.write(document, process)
	if err := b.call(true, exec); err != nil {
		t.Fatal(err)
	}
	if got := b.read(document); strings.Contains(got, "SYS_ADMIN") || !strings.Contains(got, `"noNewPrivileges":true`) || !strings.Contains(got, `"x":1`) {
		t.Errorf("after it was hardened: %s", got)
	}
}

// TestRefuses: whatever is wrong, the container does not start, and the message names the file.
func TestRefuses(t *testing.T) {
	privileged := strings.Replace(config, `"linux":{`, `"linux":{"resources":{"devices":[{"allow":true,"access":"rwm"}]},`, 1)
	hostNetwork := strings.Replace(config, `{"type":"network"},`, ``, 1)
	for name, tt := range map[string]struct{ config, line, says string }{
		"no bundle":       {config, "create --bundle /nonexistent id", "/nonexistent/config.json"},
		"broken bundle":   {`{"process":`, "create --bundle BUNDLE id", "config.json: not a JSON object"},
		"no process":      {strings.Replace(config, `"process"`, `"x-process"`, 1), "create --bundle BUNDLE id", "has no process"},
		"privileged":      {privileged, "create --bundle BUNDLE id", "is privileged"},
		"host network":    {hostNetwork, "run --bundle BUNDLE id", "host's network namespace"},
		"a folded key":    {strings.Replace(config, "capabilities", "capabilitie\u017f", 1), "create --bundle BUNDLE id", `"capabilitie\u017f" is not "capabilities"`},
		"another case":    {strings.Replace(config, `"process":{`, `"process":{"NoNewPrivileges":false,`, 1), "create --bundle BUNDLE id", `"NoNewPrivileges" is not`},
		"a folded object": {strings.Replace(config, `"process"`, `"proceſs":{},"process"`, 1), "create --bundle BUNDLE id", `"proce\u017fs" is not "process"`},
		"a key twice":     {strings.Replace(config, `"linux":{`, `"linux":{"namespaces":[],`, 1), "create --bundle BUNDLE id", "/linux/namespaces stands there twice"},
		"checkpoint":      {config, "restore --bundle BUNDLE id", "checkpoint"},
		"unknown to exec": {config, "--root ROOT exec --process /tmp/none other", "no state"},
		"no such process": {config, "--root ROOT exec --process /nonexistent/p.json id", "/nonexistent/p.json"},
		"no id":           {config, "--root ROOT start", "id is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFixture(t, tt.config)
			b.write(filepath.Join(b.root, "id", "state.json"), fmt.Sprintf(`{"init_process_pid":%d,"config":{"labels":["bundle=%s"]}}`, os.Getpid(), b.bundle))
			if err := b.call(false, tt.line); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
			if got := b.read(filepath.Join(b.bundle, oci.ConfigFile)); got != tt.config {
				t.Errorf("the bundle was changed: %s", got)
			}
		})
	}
}

// networkDocument is a network's document as 82bb395 wrote it.
func networkDocument(owner topology.Owner, mode string) string {
	return fmt.Sprintf(`{"schema":1,"id":"netid","name":"mcp-secure","owner":%q,"bridge":"mcp-secure","subnet":"172.20.0.0/16",`+
		`"bridgeAddr":"172.20.0.1","policy":{"gateways":[{"addr":"172.20.0.100","port":{"protocol":"tcp","number":8080}}],"connect":{},`+
		`"egress":{},"dns":"off","log":"off","mode":"enforce","caps":"CHOWN","capsMode":%q,"firewall":"auto","mtu":1500}}`, owner, mode)
}

// TestDockerRecord finds mcpnet networks in what Docker keeps of a container, however the user named them.
func TestDockerRecord(t *testing.T) {
	network := func(mode string) string { return networkDocument(topology.OwnerDocker, mode) }
	for name, tt := range map[string]struct {
		network, record, host string
		hardened              bool
		says                  string
	}{
		"by name":           {network("audit"), `{"mcp-secure":{}}`, `{"NetworkMode":"mcp-secure"}`, true, ""},
		"by id":             {network("audit"), `{"x":{"NetworkID":"netid"}}`, `{"NetworkMode":"x"}`, true, ""},
		"mode alone":        {network("audit"), `{}`, `{"NetworkMode":"mcp-secure"}`, true, ""},
		"off":               {network("off"), `{"mcp-secure":{}}`, `{"NetworkMode":"mcp-secure"}`, false, ""},
		"elsewhere":         {network("enforce"), `{"bridge":{}}`, `{"NetworkMode":"bridge"}`, false, ""},
		"gateway by ip":     {network("enforce"), `{"mcp-secure":{"IPAMConfig":{"IPv4Address":"172.20.0.100"}}}`, `{"NetworkMode":"mcp-secure"}`, false, ""},
		"gateway by role":   {network("enforce"), `{"mcp-secure":{"DriverOpts":{"mcpnet.role":"gateway"}}}`, `{"NetworkMode":"mcp-secure"}`, false, ""},
		"two networks":      {network("enforce"), `{"mcp-secure":{},"other":{}}`, `{"NetworkMode":"mcp-secure"}`, false, "on 2 networks"},
		"two, guarded":      {network("guard"), `{"mcp-secure":{},"other":{}}`, `{"NetworkMode":"mcp-secure"}`, false, "on 2 networks"},
		"two, audited":      {network("audit"), `{"mcp-secure":{},"other":{}}`, `{"NetworkMode":"mcp-secure"}`, true, ""},
		"part of the id":    {network("audit"), `{"neti":{}}`, `{"NetworkMode":"neti"}`, true, ""},
		"unreadable store":  {`{"schema":9}`, `{"mcp-secure":{}}`, `{"NetworkMode":"mcp-secure"}`, false, ""}, // start refuses
		"does not concern":  {`{"schema":9}`, `{"bridge":{}}`, `{"NetworkMode":"default"}`, false, ""},
		"a network twice":   {network("audit"), `{"bridge":{},"bridge":{}}`, `{"NetworkMode":"bridge"}`, false, "/NetworkSettings/Networks/bridge stands there twice"},
		"a mode that folds": {network("audit"), `{}`, `{"networkMode":"mcp-secure"}`, false, `"networkMode" is not "NetworkMode"`},
		"broken record":     {network("audit"), `{`, `{}`, false, "config.v2.json"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			text := strings.Replace(config, `{"process"`, fmt.Sprintf(`{"mounts":[{"destination":"/etc/resolv.conf","source":"%s/containers/id/resolv.conf"}],"process"`, root), 1)
			b := newFixture(t, text)
			b.write(filepath.Join(root, "plugins/p/propagated-mount/networks/netid/network.json"), tt.network)
			b.write(filepath.Join(root, "containers/id/config.v2.json"), `{"NetworkSettings":{"Networks":`+tt.record+`}}`)
			b.write(filepath.Join(root, "containers/id/hostconfig.json"), tt.host)
			err := b.call(true, "create --bundle BUNDLE id")
			if (err == nil) != (tt.says == "") || (err != nil && !strings.Contains(err.Error(), tt.says)) {
				t.Fatalf("got %v, want %q", err, tt.says)
			}
			got := b.read(filepath.Join(b.bundle, oci.ConfigFile))
			if strings.Contains(got, `"io.mcpnet.caps":"CHOWN"`) != tt.hardened || (!tt.hardened && got != text) {
				t.Errorf("hardened %v, want %v: %s", !tt.hardened, tt.hardened, got)
			}
		})
	}
}
