package docker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refusal is a docker command that has to fail, with words that have to stand in what the user reads.
type refusal struct {
	what string
	args []string
	says []string
}

const goodGateway = "mcpnet.gateway=172.20.0.100:8080"

// create is a docker network create with the subnet of the README.
func create(options ...string) []string {
	args := []string{"network", "create", "-d", "mcpnet", "--subnet", "172.20.0.0/16"}
	for _, o := range options {
		if strings.HasPrefix(o, "-") {
			args = append(args, o)
		} else {
			args = append(args, "-o", o)
		}
	}
	return append(args, "wrong")
}

var wrongNetworks = []refusal{
	{"no gateway", create(), []string{"mcpnet.gateway", "required", "ip:port", "172.20.0.100:8080"}},
	{"gateway without a port", create("mcpnet.gateway=172.20.0.100"), []string{`mcpnet.gateway="172.20.0.100"`, "the port is missing", "ip:port"}},
	{"gateway by name", create("mcpnet.gateway=gw:8080"), []string{`"gw:8080"`, "an address is needed"}},
	{"gateway outside the subnet", create("mcpnet.gateway=10.9.9.9:8080"), []string{`"10.9.9.9"`, "not in the subnet", "172.20.0.0/16"}},
	{"gateway on the bridge's address", create("mcpnet.gateway=172.20.0.1:8080"), []string{`"172.20.0.1"`, "the bridge's own address", "--gateway"}},
	{"gateway on the subnet's last address", create("mcpnet.gateway=172.20.255.255:80"), []string{"broadcast address"}},
	{"misspelled key", create("mcpnet.gatway=172.20.0.100:8080"), []string{"mcpnet.gatway", "unknown key", "did you mean mcpnet.gateway?"}},
	{"unknown key", create(goodGateway, "mcpnet.colour=blue"), []string{`mcpnet.colour="blue"`, "unknown key", "accepted:", "mcpnet.dns"}},
	{"key of the bridge driver", create(goodGateway, "com.docker.network.bridge.enable_icc=true"), []string{"enable_icc", "Docker's bridge driver"}},
	{"bad list", create(goodGateway, "mcpnet.allow=*.com,https://api.github.com,203.0.113.7/24"), []string{"3 problems:", "mcpnet.allow",
		"everybody can have a name below com", "did you mean api.github.com?", "did you mean 203.0.113.0/24?"}},
	{"redirection", create(goodGateway, "mcpnet.redirect=80,443"), []string{"mcpnet.redirect", "not supported in this version"}},
	{"limits", create(goodGateway, "mcpnet.limit.rate=25/min burst 50"), []string{"mcpnet.limit.rate", "not supported in this version"}},
	{"key of an endpoint", create(goodGateway, "mcpnet.role=gateway"), []string{"mcpnet.role", "set it on an endpoint"}},
	{"bad word", create(goodGateway, "mcpnet.dns=of"), []string{`mcpnet.dns="of"`, "accepted: off, gateway", "did you mean off?"}},
	{"bad connect", create(goodGateway, "mcpnet.gateway.connect=udp/53"), []string{"mcpnet.gateway.connect", "tcp/PORT"}},
	{"bad egress", create(goodGateway, "mcpnet.gateway.egress=443"), []string{"mcpnet.gateway.egress", "tcp/PORT"}},
	{"bad mtu", create(goodGateway, "com.docker.network.driver.mtu=68"), []string{"com.docker.network.driver.mtu", "576 to 65535"}},
	{"bridge name too long", create(goodGateway, "com.docker.network.bridge.name=a-very-long-name"), []string{"bridge.name", "longer than 15 bytes"}},
	{"bridge name of a wire", create(goodGateway, "com.docker.network.bridge.name=mcpw1"), []string{"mcpw", "reserved"}},
	{"bridge name of Docker", create(goodGateway, "com.docker.network.bridge.name=docker0"), []string{"docker0", "taken"}},
	{"bridge that is not ours", create(goodGateway, "com.docker.network.bridge.name=br-host"), []string{"br-host", "did not make"}},
	{"bridge of another network", create(goodGateway, "com.docker.network.bridge.name=br-good"), []string{"br-good", "mcpnet network good"}},
	{"IPv6", create(goodGateway, "--ipv6", "--subnet=fd00:20::/64"), []string{"--ipv6", "drop --ipv6"}},
	{"internal with egress", create(goodGateway, "--internal", "mcpnet.gateway.egress=tcp/443"), []string{"mcpnet.gateway.egress", "--internal"}},
	{"no subnet", []string{"network", "create", "-d", "mcpnet", "-o", "mcpnet.gateway=192.0.2.1:8080", "wrong"}, []string{`"192.0.2.1"`, "not in the subnet"}},
	{"subnet of a host's interface", []string{"network", "create", "-d", "mcpnet", "--subnet", "10.66.0.0/16", "-o", "mcpnet.gateway=10.66.9.9:80", "wrong"},
		[]string{"10.66.0.0/16", "br-host", "not in use"}},
	{"several at once", create("mcpnet.gatewy=172.20.0.100:8080", "mcpnet.mode=audti", "mcpnet.vlan=eth0.1", "--ipv6", "--subnet=fd00:20::/64"),
		[]string{"4 problems:", "did you mean mcpnet.gateway?", `mcpnet.mode="audti"`, "did you mean audit?", "mcpnet.vlan", "--ipv6"}},
}

// onGood is a docker run on the network that is right.
func onGood(args ...string) []string {
	return slices.Concat([]string{"run", "-d", "--name", "wrong"}, args, []string{image, "sleep", "1000"})
}

var wrongContainers = []refusal{
	{"published port on a server", onGood("--network", "good", "-p", "8081:80"), []string{"published ports (-p)", "8081:80", "gateway", "network good"}},
	{"hardware address of a gateway", onGood("--network", "good", "--ip", "172.28.0.100", "--mac-address", "02:00:00:00:00:01"),
		[]string{"--mac-address", "02:00:00:00:00:01", "fixed", "drop the option"}},
	{"role of a gateway elsewhere", onGood("--network", "name=good,driver-opt=mcpnet.role=gateway"), []string{"mcpnet.role=gateway", "172.28.0.100", "--ip"}},
	{"role of a server at a gateway's address", onGood("--network", "name=good,driver-opt=mcpnet.role=server", "--ip", "172.28.0.100"),
		[]string{"mcpnet.role=server", "172.28.0.100", "another"}},
	{"unknown role", onGood("--network", "name=good,driver-opt=mcpnet.role=gatewai"), []string{`mcpnet.role="gatewai"`, "server, gateway", "did you mean gateway?"}},
	{"key of the network", onGood("--network", "name=good,driver-opt=mcpnet.dns=gateway"), []string{"mcpnet.dns", "set it on the network"}},
	{"list beyond the network's", onGood("--network", "name=good,driver-opt=mcpnet.allow=api.github.com"),
		[]string{`mcpnet.allow="api.github.com:443"`, "only narrows"}},
	{"address outside the subnet", onGood("--network", "good", "--ip", "10.1.1.1"), []string{"10.1.1.1"}},
}

// TestWrongInput gives the engine what the driver has to refuse: with one message that names everything that is
// wrong, and with nothing left of it.
func TestWrongInput(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, l *lab) {
		l.world.Host.AddBridge("br-host", "10.66.0.1/24")
		l.MustDocker("network", "create", "-d", "mcpnet", "--subnet", "172.28.0.0/16", "--ip-range", "172.28.240.0/20",
			"-o", "mcpnet.gateway=172.28.0.100:8080", "-o", "com.docker.network.bridge.name=br-good", "good")
		segment{l, "good", "172.28"}.bridge() // its name arrives with the engine's list
		for where, found := range l.traces() {
			if text := strings.Join(found, "\n"); where != "store" && !strings.Contains(text, "good") || len(found) < 2 {
				t.Fatalf("control: the network that is there does not show among %s:\n%s", where, text)
			}
		}
		for _, r := range slices.Concat(wrongNetworks, wrongContainers) {
			l.sub(r.what, r.check)
		}
		l.sub("published port of a gateway", (*lab).gatewayPort)
	})
}

func (r refusal) check(l *lab) {
	before := l.traces()
	out, err := l.Docker(r.args...)
	if err == nil {
		l.t.Errorf("docker %s: done: %s", strings.Join(r.args, " "), out)
	} else {
		for _, want := range r.says {
			if !strings.Contains(err.Error(), want) {
				l.t.Errorf("the message lacks %q:\n%v", want, err)
			}
		}
	}
	if r.args[0] == "run" {
		l.MustDocker("rm", "-f", "wrong")
	}
	if diff := cmp.Diff(before, l.traces()); diff != "" {
		l.t.Errorf("left behind (-before +after):\n%s", diff)
	}
}

// gatewayPort publishes a port of a gateway, which is meant for its other network.
func (l *lab) gatewayPort() {
	l.MustDocker(onGood("--network", "good", "--ip", "172.28.0.100", "-p", "8082:8080")...)
	l.MustDocker("rm", "-f", "wrong")
}

// traces is everything on the host and in the plugin's store that a network or an endpoint can leave.
func (l *lab) traces() map[string][]string {
	l.t.Helper()
	found := map[string][]string{
		"networks": strings.Split(l.MustDocker("network", "ls", "--format", "{{.Name}} {{.Driver}}"), "\n"),
		"nftables": named(l.host("nft", "list", "ruleset"), "chain ", "set ", "map ", "table "),
		"iptables": named(l.host("iptables-save"), ":", "-A "),
	}
	found["namespaces"] = l.pins()
	for _, name := range found["namespaces"] {
		found["namespaces"] = append(found["namespaces"], l.spaceTraces(name)...)
	}
	links, err := l.world.Host.Links()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, link := range links {
		found["links"] = append(found["links"], fmt.Sprint(link.Attrs().Name, " ", link.Type()))
	}
	stores, err := filepath.Glob(l.Path("/var/lib/docker/plugins/*/propagated-mount"))
	if err != nil || len(stores) != 1 {
		l.t.Fatalf("the plugin's store: %v %v", stores, err)
	}
	err = filepath.WalkDir(stores[0], func(path string, _ os.DirEntry, err error) error {
		found["store"] = append(found["store"], strings.TrimPrefix(path, stores[0]))
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return found
}

// spaceTraces is everything in a network's namespace that an endpoint can leave.
func (l *lab) spaceTraces(name string) []string {
	l.t.Helper()
	space := l.space(name)
	defer space.Idle()
	rules := named(space.Run("nft", "list", "ruleset"), "chain ", "set ", "map ", "table ", "elements ")
	return append(rules, linksOf(l.t, space, "")...)
}

// named takes the lines that begin with one of the words, without counters.
func named(listing string, words ...string) (out []string) {
	for line := range strings.Lines(listing) {
		line = strings.TrimSpace(line)
		if slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(line, w) }) {
			line, _, _ = strings.Cut(line, " [")
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}
