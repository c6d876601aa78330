package resident_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestForeign: while the front did not run, somebody took the name of one network, for a namespace or for a link. That
// network is
// not in force, and says so; what has its name is neither adopted nor deleted; every other network starts, and is
// repaired.
func TestForeign(t *testing.T) {
	for name, take := range map[string]func(*testhost.Docker){
		"namespace": func(f *testhost.Docker) {
			f.Unpin("mcp-second")
			f.World.Host.Run("ip", "link", "delete", "mcp-second")
			bind(f, "mcp-second", testnet.New(f.T, "theirs"))
		},
		"mcpnet's namespace": func(f *testhost.Docker) {
			f.Unpin("mcp-second")
			f.World.Host.Run("ip", "link", "delete", "mcp-second")
			theirs := testnet.New(f.T, "theirs")
			theirs.Run("ip", "link", "add", "mcp-second", "type", "bridge")
			theirs.Run("ip", "link", "set", "mcp-second", "alias", "mcpnet cni theirs 0123abcd")
			bind(f, "mcp-second", theirs)
		},
		"link": func(f *testhost.Docker) {
			f.World.Host.Run("ip", "link", "delete", "mcp-second")
			f.World.Host.Run("ip", "link", "add", "mcp-second", "type", "bridge")
		},
		"mcpnet's link": func(f *testhost.Docker) {
			f.World.Host.Run("ip", "link", "delete", "mcp-second")
			f.World.Host.Run("ip", "link", "add", "mcp-second", "type", "veth", "peer", "name", "theirs")
			f.World.Host.Run("ip", "link", "set", "mcp-second", "alias", "mcpnet cni theirs 0123abcd")
		},
	} {
		t.Run(name, func(t *testing.T) { foreign(t, testhost.NewDocker(t), take) })
	}
}

func foreign(t *testing.T, f *testhost.Docker, take func(*testhost.Docker)) {
	f.Network(testhost.OneGateway)
	a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, g, 8080)
	second := secondNetwork(t, "172.30.0.0/16", "mcp-second")
	f.Check(f.Front.CreateNetwork(t.Context(), second))
	f.Close()
	take(f)
	theirs := stateOf(f, "mcp-second")
	f.Open()
	findsNetwork(f, "second")
	f.Reaches(a, "172.20.0.100/8080", true)

	f.Space().Run("nft", "flush", "ruleset")
	if _, err := f.Front.Reconcile(t.Context()); err == nil || !strings.Contains(err.Error(), "second") {
		t.Errorf("reconcile: %v", err)
	}
	f.Reaches(a, "172.20.0.100/8080", true)
	_ = f.Front.Collect(t.Context())
	f.Reaches(a, "172.20.0.100/8080", true)
	watched(f, func() {
		f.Space().Run("nft", "flush", "ruleset")
		testhost.Within(t, 5*time.Second, "the other network is repaired", func() bool {
			_, err := testhost.DialFor(a, "172.20.0.100/8080", 100*time.Millisecond)
			return err == nil
		})
	})
	findsNetwork(f, "second")
	f.Container("b", "172.20.240.2", topology.RoleServer)
	if err := f.Front.CreateNetwork(t.Context(), second); err == nil || !strings.Contains(err.Error(), "mcp-second") {
		t.Errorf("made again: %v", err)
	}
	testhost.Same(t, theirs, stateOf(f, "mcp-second"))
	f.Check(f.Front.DeleteNetwork(t.Context(), second.ID))
	testhost.Same(t, theirs, stateOf(f, "mcp-second"))
	f.Settled()
	f.Reaches(a, "172.20.0.100/8080", true)
}

// bind pins a namespace under another name, as whoever makes one does.
func bind(f *testhost.Docker, name string, theirs *testnet.NS) {
	f.T.Helper()
	path := filepath.Join(f.World.Pins, name)
	f.Check(os.WriteFile(path, nil, 0o600))
	f.World.Host.Run("mount", "--bind", theirs.Path(), path)
}

// stateOf is what has a name: the link, and what is in the namespace. The network's own namespace, and the rules of
// its uplink, come and go.
func stateOf(f *testhost.Docker, name string) string {
	f.T.Helper()
	links := f.World.Host.Run("ip", "-d", "-br", "link")
	var lines []string
	for _, line := range strings.Split(links, "\n") {
		if strings.HasPrefix(line, name) {
			lines = append(lines, line)
		}
	}
	if in := f.World.Pinned(name); exists(in.Path()) && !strings.Contains(in.Run("ip", "-br", "link"), topology.Router) {
		lines = append(lines, in.Run("ip", "-d", "link"), in.Run("nft", "list", "ruleset"))
	}
	return strings.Join(lines, "\n")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// findsNetwork wants the status to tell of a network that is not in force, beside the other, which is.
func findsNetwork(f *testhost.Docker, id string) {
	f.T.Helper()
	s, err := f.Front.Status(f.T.Context())
	f.Check(err)
	found := false
	for _, finding := range s.Findings {
		found = found || (finding.Code == report.CodeNetwork && finding.Severity == report.Failure &&
			finding.Object == "network "+id)
		if finding.Severity != report.Info && !strings.Contains(finding.Object, id) {
			f.T.Errorf("finding about another: %+v", finding)
		}
	}
	if !found || len(s.Networks) != 2 {
		f.T.Errorf("status: %+v", s)
	}
}

// watched does something while the front watches.
func watched(f *testhost.Docker, do func()) {
	f.T.Helper()
	ctx, stop := context.WithCancel(f.T.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Front.Watch(ctx) }()
	defer func() { stop(); <-done }()
	time.Sleep(100 * time.Millisecond)
	do()
}

// TestUnknownDocuments: a document that this version cannot read, of a later one or broken, costs no wire that lives:
// neither at the
// start, nor when it is collected, repaired or looked at.
func TestUnknownDocuments(t *testing.T) {
	newer := func(data []byte) []byte { return []byte(strings.Replace(string(data), `"schema":`, `"schema":9`, 1)) }
	half := func(data []byte) []byte { return data[:len(data)/2] }
	for name, c := range map[string]struct {
		document string
		change   func([]byte) []byte
	}{
		"newer endpoint":  {"endpoints/a.json", newer},
		"broken endpoint": {"endpoints/a.json", half},
		"empty endpoint":  {"endpoints/a.json", func([]byte) []byte { return nil }},
		"newer gateway":   {"endpoints/g.json", newer},
		"newer network":   {"network.json", newer},
		"broken network":  {"network.json", half},
	} {
		t.Run(name, func(t *testing.T) {
			testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) { unknownDocument(t, f, c.document, c.change) })
		})
	}
}

func unknownDocument(t *testing.T, f *testhost.Docker, document string, change func([]byte) []byte) {
	f.Network(map[string]string{"mcpnet.gateway": "172.20.0.100:8080,172.20.0.100:8443"})
	a, b := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("b", "172.20.240.2", topology.RoleServer)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, g, 8080)
	stream := testhost.OpenStream(t, a, g, "172.20.0.100:8443")
	f.Close()
	path := filepath.Join(f.Dir, "v2", testhost.NetworkID, document)
	data, err := os.ReadFile(path)
	f.Check(err)
	f.Check(os.WriteFile(path, change(data), 0o600))
	before := f.State()
	f.Open()
	for step, do := range map[string]func() error{
		"collect":   func() error { return f.Front.Collect(t.Context()) },
		"reconcile": func() error { _, err := f.Front.Reconcile(t.Context()); return err },
		"plan":      func() error { _, err := f.Front.Plan(t.Context()); return err },
		"status":    func() error { _, err := f.Front.Status(t.Context()); return err },
		"watch":     func() error { watched(f, func() { time.Sleep(100 * time.Millisecond) }); return nil },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", step, err)
		}
		stream.Moves(5 * time.Second)
		for _, from := range []*testnet.NS{a, b} {
			f.Reaches(from, "172.20.0.100/8080", true)
		}
		f.Reaches(a, "172.20.240.2/3000", false)
	}
	f.Same(before)
	stream.Finish()
	s, err := f.Front.Status(t.Context())
	f.Check(err)
	if len(s.Findings) == 0 || s.Findings[0].Code != report.CodeDocument || !strings.Contains(s.Findings[0].Object,
		document) {
		t.Errorf("findings: %+v", s.Findings)
	}
}
