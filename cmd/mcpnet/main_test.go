package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/golden"
	"github.com/mcpnet/mcpnet/internal/operator"
	"github.com/mcpnet/mcpnet/internal/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// plugin answers on a socket as a running plugin does; the answers go out as they stand.
func plugin(t *testing.T, code int, answers map[string]string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "mcpnet.sock")
	l, err := net.Listen("unix", socket)
	check(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		fmt.Fprintln(w, answers[r.URL.Path])
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return socket
}

// TestMain keeps what this machine may have below /var/lib out of the tests.
func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Setenv("MCPNET_STORE", "/nonexistent")
	os.Exit(m.Run())
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mcpnet runs the command.
func mcpnet(args ...string) (code int, out, complaints string) {
	var o, c bytes.Buffer
	code = run(args, &o, &c)
	return code, o.String(), c.String()
}

const nothing = `{"schema":"mcpnet.status/1","version":"v1.2.3","owners":["docker"],
"layers":{"namespaces":true,"nftables":true,"uplinks":true,"iptables":"nft"},"networks":[]}`

// inForce is a host with a network that has an endpoint of every kind, and one that nothing goes beyond.
const inForce = `{"schema":"mcpnet.status/1","version":"v1.2.3","owners":["docker"],
"layers":{"namespaces":true,"nftables":true,"uplinks":true,"iptables":"nft","dockerMcp":{"chain":"FORWARD","rule":3}},
"findings":[{"code":"endpoint-quarantined","severity":"warning","object":"endpoint thief","meaning":"it holds a gateway's address","remedy":"ask for the address with --ip"}],
"networks":[{"id":"4f2a9c1e0123456789","name":"mcp-secure","owner":"docker","namespace":"mcp-secure","bridge":"mcp-secure","bridgeUp":true,
"uplink":"mcp-secure","uplinkUp":true,"subnet":"172.20.0.0/16",
"policy":{"mcpnet.gateway":"172.20.0.100:8080/tcp","mcpnet.mode":"enforce","com.docker.network.driver.mtu":"1500"},
"endpoints":[
{"id":"aaaaaaaaaaaaaaaaaaaa","container":"gateway","role":"gateway","reason":"asked","address":"172.20.0.100","mac":"02:6b:ac:14:00:64","wire":"mcpwcd0aa985614","state":"up","sent":{"packets":12,"bytes":900},"received":{"packets":10,"bytes":800}},
{"id":"bbbbbbbbbbbbbbbbbbbb","role":"server","address":"172.20.240.1","mac":"02:6b:ac:14:f0:01","wire":"mcpwca978112ca1","allow":"api.github.com:443,198.51.100.0/24:5432/tcp","state":"down","sent":{"packets":0,"bytes":0},"received":{"packets":0,"bytes":0}},
{"id":"cccccccccccccccccccc","container":"thief","role":"candidate","reason":"address 172.20.0.101 is a gateway's","address":"172.20.0.101","mac":"02:6b:ac:14:00:65","wire":"mcpw2e7d2c03a95","state":"up","sent":{"packets":0,"bytes":0},"received":{"packets":0,"bytes":0}},
{"id":"dddddddddddddddddddd","container":"held","role":"server","address":"172.20.240.2","mac":"02:6b:ac:14:f0:02","wire":"mcpw3e23e816003","state":"up","admission":{"state":"violates","by":"docker","reason":"it holds CAP_NET_RAW"},"quarantined":true,"sent":{"packets":0,"bytes":0},"received":{"packets":0,"bytes":0}}],
"denied":{"no-ipv4":{"packets":7,"bytes":420},"closed-port":{"packets":2,"bytes":120}}},
{"id":"99999999999999999999","name":"inner","owner":"docker","namespace":"mcp-99","bridge":"mcp-99","bridgeUp":true,"uplinkUp":false,"subnet":"172.21.0.0/16",
"policy":{"mcpnet.gateway":"172.21.0.100:8080/tcp","mcpnet.gateway.egress":"off"},"endpoints":[],"denied":{}}]}`

// calm is inForce without those whom nothing passes.
var calm = strings.NewReplacer(`"role":"candidate"`, `"role":"server"`, `"quarantined":true,`, "").Replace(inForce)

// broken is inForce with rules that are missing, its bridge and its uplink down, and a network that cannot be read.
var broken = strings.NewReplacer(`"bridgeUp":true,
"uplink":"mcp-secure","uplinkUp":true`, `"bridgeUp":false,"drift":["namespace mcp-secure: load nftables rules"],
"uplink":"mcp-secure","uplinkUp":false`,
	`"nftables":true,"uplinks":true`, `"nftables":false,"uplinks":false`, `"name":"mcp-secure",`, "",
	`"findings":[`, `"findings":[{"code":"network-failed","severity":"failure","object":"network inner","meaning":"namespace /run/netns/mcp-99 is not this network's"},`).Replace(inForce)

func TestStatus(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		code   int
	}{"nothing": {nothing, exitOK}, "in-force": {inForce, exitDrift}, "calm": {calm, exitOK}, "broken": {broken, exitDrift}} {
		t.Run(name, func(t *testing.T) {
			socket := plugin(t, http.StatusOK, map[string]string{operator.StatusPath: c.answer})
			code, out, complaints := mcpnet("status", "--socket", socket)
			if code != c.code || complaints != "" {
				t.Errorf("exit status %d, want %d; %s", code, c.code, complaints)
			}
			golden.Check(t, *update, "status-"+name+".txt", out)
			code, out, _ = mcpnet("--json", "--socket", socket, "status")
			var back, want report.Status
			check(t, json.Unmarshal([]byte(out), &back))
			check(t, json.Unmarshal([]byte(c.answer), &want))
			if code != c.code || !reflect.DeepEqual(back, want) {
				t.Errorf("exit status %d:\n%s", code, out)
			}
		})
	}
}

// TestStatusOfSickEndpoint: an endpoint that is not as it should be shows in the exit status, too.
func TestStatusOfSickEndpoint(t *testing.T) {
	for state, want := range map[string]int{"up": exitOK, "down": exitOK, "unguarded": exitDrift, "gone": exitDrift} {
		answer := strings.Replace(calm, `"state":"up"`, `"state":"`+state+`"`, 1)
		if code := statusOf(t, answer); code != want {
			t.Errorf("endpoint %s: exit status %d, want %d", state, code, want)
		}
	}
	for what, c := range map[string]struct{ was, is string }{
		"in quarantine": {`"state":"violates"`, `"wayOut":false,"state":"violates"`},
		"a way out":     {`"state":"violates"`, `"state":"violates","wayOut":true`},
		"a candidate":   {`"role":"server"`, `"role":"candidate"`},
	} {
		answer := strings.Replace(calm, c.was, c.is, 1)
		if what == "in quarantine" {
			answer = strings.Replace(answer, `"address":"172.20.240.2"`, `"quarantined":true,"address":"172.20.240.2"`, 1)
		}
		if code := statusOf(t, answer); code != exitDrift {
			t.Errorf("%s: exit status %d", what, code)
		}
	}
}

func statusOf(t *testing.T, answer string) (code int) {
	t.Helper()
	code, _, _ = mcpnet("status", "--socket", plugin(t, http.StatusOK, map[string]string{operator.StatusPath: answer}))
	return code
}

// TestStatusOfFinding: what does not work shows in the exit status, what could work better does not.
func TestStatusOfFinding(t *testing.T) {
	for severity, want := range map[string]int{"info": exitOK, "warning": exitOK, "failure": exitDrift} {
		answer := strings.Replace(calm, `"severity":"warning"`, `"severity":"`+severity+`"`, 1)
		socket := plugin(t, http.StatusOK, map[string]string{operator.StatusPath: answer})
		code, out, _ := mcpnet("status", "--socket", socket)
		if code != want || !strings.Contains(out, "endpoint thief: it holds a gateway's address. ask for the address with --ip") {
			t.Errorf("finding of severity %s: exit status %d, want %d:\n%s", severity, code, want, out)
		}
	}
}

// TestStatusOfOldNFT: the plugin's nft command may be newer than the host's, which then cannot list what it loaded.
func TestStatusOfOldNFT(t *testing.T) {
	for version, c := range map[string]struct{ prefix, said bool }{"v1.0.6": {true, true}, "v1.1.6": {true, false}, "v1.0.5": {false, false}} {
		bin := t.TempDir()
		check(t, os.WriteFile(filepath.Join(bin, "nft"), []byte("#!/bin/sh\necho nftables "+version+"\n"), 0o755))
		t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
		answer := strings.Replace(calm, `"nftables":true`, fmt.Sprintf(`"prefix":%v,"nftables":true`, c.prefix), 1)
		socket := plugin(t, http.StatusOK, map[string]string{operator.StatusPath: answer})
		code, out, _ := mcpnet("status", "--socket", socket)
		if said := strings.Contains(out, "its nft command (nftables "+version+")"); said != c.said || code != exitOK {
			t.Errorf("%s, prefix %v: exit status %d\n%s", version, c.prefix, code, out)
		}
	}
}

func TestPlan(t *testing.T) {
	socket := plugin(t, http.StatusOK, map[string]string{operator.PlanPath: `{"schema":"mcpnet.plan/1","steps":[]}`})
	if code, out, _ := mcpnet("plan", "--socket", socket); code != exitOK || !strings.HasPrefix(out, "Nothing to do") {
		t.Errorf("%d %s", code, out)
	}
	steps := `{"schema":"mcpnet.plan/1","steps":[
{"network":"mcp-secure","namespace":"namespace mcp-secure","action":"bridge mcp-secure: mtu 1500, up"},
{"namespace":"host","action":"link mcp-99: delete"}]}`
	socket = plugin(t, http.StatusOK, map[string]string{operator.PlanPath: steps})
	want := "  1  namespace mcp-secure: bridge mcp-secure: mtu 1500, up\n  2  host: link mcp-99: delete\n"
	if code, out, _ := mcpnet("plan", "--socket", socket); code != exitDrift || out != want {
		t.Errorf("%d %q", code, out)
	}
	var got, sent report.Plan
	code, out, _ := mcpnet("plan", "--json", "--socket", socket)
	check(t, json.Unmarshal([]byte(out), &got))
	check(t, json.Unmarshal([]byte(steps), &sent))
	if code != exitDrift || !reflect.DeepEqual(got, sent) {
		t.Errorf("%d %s", code, out)
	}
}

// TestErrors: what cannot be answered says what to do, in one line, on standard error, with a code of its own.
func TestErrors(t *testing.T) {
	refusing := plugin(t, http.StatusInternalServerError, map[string]string{operator.StatusPath: `{"Err":"mcpnet: this kernel has no nft_fwd_netdev"}`})
	odd := plugin(t, http.StatusNotFound, nil)
	garbled := plugin(t, http.StatusOK, map[string]string{operator.StatusPath: "{"})
	none := filepath.Join(t.TempDir(), "none.sock")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no plugin":        {[]string{"status", "--socket", none}, exitFailed, "no mcpnet plugin answers at " + none},
		"what to do":       {[]string{"plan", "--socket", none}, exitFailed, "docker plugin enable"},
		"refused":          {[]string{"status", "--socket", refusing}, exitFailed, "this kernel has no nft_fwd_netdev"},
		"not a plugin":     {[]string{"status", "--socket", odd}, exitFailed, "answered 404"},
		"half an answer":   {[]string{"status", "--socket", garbled}, exitFailed, "unexpected EOF"},
		"unknown command":  {[]string{"stats"}, exitUsage, "stats"},
		"unknown flag":     {[]string{"status", "--jsn"}, exitUsage, "unknown flag: --jsn"},
		"superfluous word": {[]string{"status", "mcp-secure"}, exitUsage, "mcp-secure"},
		"bad time":         {[]string{"status", "--timeout", "soon"}, exitUsage, "--timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, complaints := mcpnet(c.args...)
			if code != c.code || out != "" || !strings.HasPrefix(complaints, "mcpnet: ") || !strings.Contains(complaints, c.want) {
				t.Errorf("exit status %d, want %d\nout: %s\nerr: %s", code, c.code, out, complaints)
			}
			if strings.Count(strings.TrimSpace(complaints), "\n") > 0 {
				t.Errorf("more than a line:\n%s", complaints)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "mcpnet.sock")
	l, err := net.Listen("unix", socket) // and never an answer
	check(t, err)
	defer l.Close()
	began := time.Now()
	code, _, complaints := mcpnet("status", "--socket", socket, "--timeout", "100ms")
	if code != exitFailed || time.Since(began) > 2*time.Second || !strings.Contains(complaints, "deadline exceeded") {
		t.Errorf("%d after %v: %s", code, time.Since(began), complaints)
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"status", "--help"}, {"plan", "-h"}} {
		if code, out, complaints := mcpnet(args...); code != exitOK || !strings.Contains(out, "Usage:") || complaints != "" {
			t.Errorf("%v: %d %s", args, code, complaints)
		}
	}
	code, out, _ := mcpnet("version", "--json")
	var v map[string]string
	check(t, json.Unmarshal([]byte(out), &v))
	if code != exitOK || v["version"] == "" {
		t.Errorf("%d %s", code, out)
	}
}

// TestColour: a terminal gets colours, unless NO_COLOR says otherwise; a pipe never does.
func TestColour(t *testing.T) {
	socket := plugin(t, http.StatusOK, map[string]string{operator.StatusPath: broken})
	for _, c := range []struct {
		noColor  string
		coloured bool
	}{{"", true}, {"1", false}} {
		t.Setenv("NO_COLOR", c.noColor)
		master, terminal := openTerminal(t)
		if code := run([]string{"status", "--socket", socket}, terminal, terminal); code != exitDrift {
			t.Errorf("exit status %d", code)
		}
		shown := readUntil(t, master, terminal)
		if got := strings.Contains(shown, "\x1b["); got != c.coloured || !strings.Contains(shown, "DOWN") {
			t.Errorf("NO_COLOR=%q: coloured %v:\n%q", c.noColor, got, shown)
		}
	}
	t.Setenv("NO_COLOR", "")
	if _, out, _ := mcpnet("status", "--socket", socket); strings.Contains(out, "\x1b") {
		t.Errorf("a pipe gets colours:\n%q", out)
	}
}

// readUntil gives everything that was written to a terminal: the kernel hands it on piece by piece.
func readUntil(t *testing.T, master, terminal *os.File) (shown string) {
	t.Helper()
	const end = "that was all"
	_, err := terminal.WriteString(end)
	check(t, err)
	for buf := make([]byte, 4096); !strings.Contains(shown, end); {
		n, err := master.Read(buf)
		check(t, err)
		shown += string(buf[:n])
	}
	return shown
}

// openTerminal makes a pseudo terminal.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	check(t, err)
	t.Cleanup(func() { master.Close() })
	check(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	check(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
	t.Cleanup(func() { terminal.Close() })
	return master, terminal
}
