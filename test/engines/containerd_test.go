package engines_test

import (
	"net/netip"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// handler is the runtime handler with networks of its own that a RuntimeClass names.
const (
	handler    = "mcpnet"
	handlerDir = "/etc/cni/mcpnet.d"
)

func startContainerd(t *testing.T, w *testnet.World, version string) *testengine.Containerd {
	t.Helper()
	c := testengine.StartContainerd(t, testengine.ContainerdOptions{Version: version, Host: testengine.Host{NetNS: w.Host.Path(), Programs: programs(t)},
		Handlers: []testengine.Handler{{Name: handler, CNIConfDir: handlerDir, PodAnnotations: []string{"mcpnet.*"}}}})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("containerd's log:\n%s", c.Logs())
		}
	})
	c.Import(image)
	return c
}

// ctrLab is `ctr run --cni`. It lets nobody ask for an address, so a gateway's namespace is made with cnitool.
type ctrLab struct {
	t *testing.T
	*testengine.Containerd
	containers map[string]*testengine.Container
}

func openCtr(t *testing.T, w *testnet.World, version string) lab {
	return &ctrLab{t, startContainerd(t, w, version), map[string]*testengine.Container{}}
}

func (l *ctrLab) network(policy map[string]string) {
	l.t.Helper()
	write(l.t, l, "/etc/cni/net.d/10-mcp-secure.conflist", conflist(mainPlugins, policy))
}

func (l *ctrLab) gateway(name string) *testnet.NS {
	l.t.Helper()
	must(l.t, l, "ip", "netns", "add", name)
	must(l.t, l, "env", "CNI_PATH="+testengine.CNIBin, "CNI_ARGS=IP="+leak.GatewayIP.String(), "cnitool", "add", networkName, "/run/netns/"+name)
	l.MustCtr("run", "-d", "--with-ns", "network:/run/netns/"+name, "localhost/"+image+":latest", name, "sleep", "1000")
	l.containers[name] = l.Container(name)
	return testnet.FromPath(l.t, l.containers[name].NetNS())
}

func (l *ctrLab) server(name string, _ netip.Addr) *testnet.NS {
	l.t.Helper()
	l.containers[name] = l.MustRunCNI(name, image, "sleep", "1000")
	return testnet.FromPath(l.t, l.containers[name].NetNS())
}

// remove ends containers. ctr 1.6 never calls DEL for them: what they leave is collected by the next call that looks.
func (l *ctrLab) remove(names ...string) {
	l.t.Helper()
	for _, name := range names {
		if err := l.containers[name].Remove(); err != nil {
			l.t.Error(err)
		}
	}
	must(l.t, l, "sh", "-c", `echo '{"cniVersion":"1.1.0","name":"mcp-secure","type":"mcpnet","cni.dev/valid-attachments":[],"ipam":{"type":"host-local",`+ranges+`}}' |
		CNI_COMMAND=GC CNI_PATH=`+testengine.CNIBin+` `+testengine.CNIBin+`/mcpnet; ip netns list | cut -d' ' -f1 | xargs -r -n 1 ip netns delete`)
}

// criLab is pods of a runtime handler, as Kubernetes has them.
type criLab struct {
	t *testing.T
	*testengine.Containerd
	pods map[string]*testengine.Pod
}

func openCRI(t *testing.T, w *testnet.World, version string) lab {
	return &criLab{t, startContainerd(t, w, version), map[string]*testengine.Pod{}}
}

func (l *criLab) network(policy map[string]string) {
	l.t.Helper()
	write(l.t, l, handlerDir+"/10-mcp-secure.conflist", conflist(mainPlugins, policy))
	write(l.t, l, "/etc/cni/net.d/10-open.conflist", `{"cniVersion": "1.0.0", "name": "open", "plugins": [{"type": "bridge", "bridge": "open0",
		"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.71.0.0/24"}]]}}]}`)
}

func (l *criLab) gateway(name string) *testnet.NS {
	l.t.Helper()
	return l.pod(name, map[string]string{"mcpnet.role": "gateway"})
}

func (l *criLab) server(name string, _ netip.Addr) *testnet.NS { return l.pod(name, nil) }

func (l *criLab) pod(name string, annotations map[string]string) *testnet.NS {
	l.t.Helper()
	pod := l.MustRunPod(testengine.PodOptions{Name: name, Handler: handler, Annotations: annotations})
	pod.MustRun(name, image, "sleep", "1000")
	l.pods[name] = pod
	return testnet.FromPath(l.t, pod.NetNS())
}

func (l *criLab) remove(names ...string) {
	l.t.Helper()
	for _, name := range names {
		if err := l.pods[name].Remove(); err != nil {
			l.t.Error(err)
		}
	}
}
