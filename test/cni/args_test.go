package cni

import (
	"github.com/containernetworking/cni/pkg/types"

	"github.com/mcpnet/mcpnet/internal/testcni"
)

func argRows() []row {
	return []row{
		{name: "CNI_ARGS: unknown, without IgnoreUnknown", run: argUnknown},
		{name: "CNI_ARGS: unknown, with IgnoreUnknown", run: argIgnored},
		{name: "CNI_ARGS: IP", run: argIP},
		{name: "CNI_ARGS: MAC", run: argMAC},
		{name: "CNI_ARGS: malformed", run: argMalformed},
		{name: "CNI_ARGS: role of a gateway", only: isMain, run: argRole},
		{name: "args.cni: ips and mac", only: isMain, run: argsCNI},
	}
}

func withArgs(c testcni.Call, pairs ...[2]string) testcni.Call {
	c.Args = append(append([][2]string(nil), c.Args...), pairs...)
	return c
}

func argUnknown(l *lab) {
	c := l.container()
	_, err := l.tryAdd(l.net, withArgs(c.call(), [2]string{"K8S_POD_NAME", "pod"}))
	l.refused(err, types.ErrInvalidEnvironmentVariables, "an argument that nobody knows", "CNI_ARGS", "K8S_POD_NAME")
	l.nothingLeftIf(l.s.policy && !l.s.chained, "after the refused ADD")
}

// nothingLeftIf is nothingLeft for subjects that promise it before the DEL.
func (l *lab) nothingLeftIf(promised bool, when string) {
	l.t.Helper()
	if promised {
		l.nothingLeft(when)
	}
}

// kubernetes is what CRI runtimes pass, and nerdctl the like of it.
func kubernetes(c testcni.Call) testcni.Call {
	return withArgs(c, [2]string{"IgnoreUnknown", "1"}, [2]string{"K8S_POD_NAMESPACE", "default"}, [2]string{"K8S_POD_NAME", "pod"},
		[2]string{"K8S_POD_INFRA_CONTAINER_ID", "abc"}, [2]string{"K8S_POD_UID", "1-2-3"})
}

func argIgnored(l *lab) {
	gateway := l.gateway()
	c := l.container()
	m := l.add(l.net, c, kubernetes(c.call()))
	l.succeeds(l.reaches(m, gateway), "traffic")
}

func argIP(l *lab) {
	c := l.container()
	m := l.add(l.net, c, withIP(kubernetes(c.call()), "172.20.9.9"))
	l.want(m.ip.String() == "172.20.9.9", "address %s", m.ip)
}

func argMAC(l *lab) {
	c := l.container()
	m := l.add(l.net, c, withArgs(kubernetes(c.call()), [2]string{"MAC", "02:11:22:33:44:66"}))
	l.want(m.MAC("eth0").String() == "02:11:22:33:44:66", "hardware address %s", m.MAC("eth0"))
	l.agrees(m)
}

func argMalformed(l *lab) {
	c := l.container()
	call := c.call()
	call.Args = [][2]string{{"IP=172.20.9.9;NOVALUE", ""}} // becomes IP=172.20.9.9;NOVALUE=
	_, err := l.tryAdd(l.net, call)
	l.want(err != nil, "an unknown argument behind a known one: accepted")
}

func argRole(l *lab) {
	c := l.container()
	m := l.add(l.net, c, withArgs(c.call(), [2]string{"mcpnet.role", "gateway"}))
	l.want(m.ip.String() == gatewayAddr, "a gateway has address %s", m.ip)
	other := l.container()
	_, err := l.tryAdd(l.net, withArgs(other.call(), [2]string{"mcpnet.role", "gatway"}))
	l.refused(err, types.ErrInvalidNetworkConfig, "a role that there is not", networkName, "mcpnet.role", "gateway")
}

func argsCNI(l *lab) {
	n := l.network(set(entry{"ips": []string{"172.20.9.10"}, "mac": "02:11:22:33:44:77", "labels": []entry{{"key": "app", "value": "x"}}}, "args", "cni"))
	c := l.container()
	m := l.add(n, c, c.call())
	l.want(m.ip.String() == "172.20.9.10", "address %s", m.ip)
	l.want(m.MAC("eth0").String() == "02:11:22:33:44:77", "hardware address %s", m.MAC("eth0"))
}
