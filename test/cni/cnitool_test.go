package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/mcpnet/mcpnet/internal/testengine"
)

// cnitool runs the program that comes with CNI. It keeps its cache below /var/lib, where it sees a directory of the
// test's.
type cnitool struct {
	*lab
	program string
	confDir string
	varLib  string
}

func newCNITool(l *lab) cnitool {
	l.t.Helper()
	tool := cnitool{l, filepath.Join(testengine.CNITools(l.t), "cnitool"), filepath.Join(l.Dir, "net.d"), filepath.Join(l.Dir, "lib")}
	for _, dir := range []string{tool.confDir, tool.varLib} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			l.t.Fatalf("%v", err)
		}
	}
	text := strings.ReplaceAll(conflist(l.t, l.version, l.s.list()), "$IPAM", l.IPAM())
	if err := os.WriteFile(filepath.Join(tool.confDir, "10-net.conflist"), []byte(text), 0o644); err != nil {
		l.t.Fatalf("%v", err)
	}
	return tool
}

func (c cnitool) run(verb string, of *container, env ...string) (string, error) {
	c.t.Helper()
	// What is mounted over /var/lib stays in here, and the namespaces that the plugin pins do not.
	cmd := c.NS.Command("unshare", "--mount", "--propagation", "unchanged", "sh", "-c",
		`mount --make-private "$(stat -c %m /var/lib)" && mount --bind "$0" /var/lib && exec "$@"`,
		c.varLib, c.program, verb, networkName, of.Path())
	cmd.Env = append(os.Environ(), "NETCONFPATH="+c.confDir, "CNI_PATH="+strings.Join(c.Path, ":"), "MCPNET_STORE="+c.Store(),
		"MCPNET_NETNS="+c.Pins)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.Output()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		err = fmt.Errorf("%w: %s", err, ended.Stderr)
	}
	return string(out), err
}

func cnitoolRows() []row {
	return []row{{name: "every verb of cnitool", run: func(l *lab) { cnitoolLife(newCNITool(l)) }}}
}

func cnitoolLife(tool cnitool) {
	l := tool.lab
	a, b := l.container(), l.container()
	for _, of := range []struct {
		c   *container
		env []string
	}{{a, []string{"CNI_ARGS=IgnoreUnknown=1;IP=" + gatewayAddr}}, {b, []string{`CAP_ARGS={"mac": "02:11:22:33:44:55", "ips": ["172.20.7.7"]}`}}} {
		out, err := tool.run("add", of.c, of.env...)
		var r current.Result
		if err != nil || json.Unmarshal([]byte(out), &r) != nil {
			l.fault("cnitool add: %v: %s", err, out)
			return
		}
		l.want(r.CNIVersion == latest, "cnitool add: result of version %s", r.CNIVersion)
		l.agrees(member{of.c, of.c.call(), addressIn(l, &r), &r})
	}
	gateway, server := member{container: a, ip: netip.MustParseAddr(gatewayAddr)}, member{container: b, ip: netip.MustParseAddr("172.20.7.7")}
	l.listen(gateway)
	l.succeeds(l.reaches(server, gateway), "traffic")
	l.want(b.MAC("eth0").String() == "02:11:22:33:44:55", "hardware address %s", b.MAC("eth0"))
	for _, verb := range []string{"status", "check"} {
		out, err := tool.run(verb, b)
		l.succeeds(err, "cnitool %s: %s", verb, out)
	}
	for range 2 {
		out, err := tool.run("del", b)
		l.succeeds(err, "cnitool del: %s", out)
		l.want(len(l.linksOf(b)) == 0, "cnitool del: the container still has %v", l.linksOf(b))
	}
	_, err := tool.run("gc", a) // with no list of those that live, all go
	l.succeeds(err, "cnitool gc")
	l.want(!slices.Contains(l.linksOf(a), "eth0"), "cnitool gc: the container still has %v", l.linksOf(a))
}
