package percall_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestSharedStoreLost: whoever cannot read what should be is told so, whatever he asks for.
func TestSharedStoreLost(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(nil)
	c := f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	front, err := f.open()
	f.Check(err)
	defer front.Close()
	attach := func(a plan.Attachment) error { _, _, err := front.Attach(t.Context(), n, a); return err }
	for name, ask := range map[string]func() error{
		"attach": func() error {
			return attach(f.attachment("b", "172.21.240.2", topology.RoleServer, testnet.New(t, "b").Path()))
		},
		"detach":    func() error { _, _, err := front.Detach(t.Context(), n.ID, "a"); return err },
		"attached":  func() error { _, err := front.Attached(n.ID, "a"); return err },
		"check":     func() error { _, err := front.Check(t.Context(), n.ID, "a", c.Path()); return err },
		"sometimes": func() error { return front.SweepSometimes(t.Context(), n.ID) },
	} {
		documents := filepath.Join(f.Dir, "v2", n.ID)
		f.Check(os.Rename(documents, documents+".aside"))
		f.Check(os.WriteFile(documents, nil, 0o600))
		if err := ask(); err == nil {
			t.Errorf("%s: no error", name)
		}
		f.Check(os.Remove(documents))
		f.Check(os.Rename(documents+".aside", documents))
	}
	f.Check(f.call(func(e *percall.Front) error { _, err := e.Attached(n.ID, "a"); return err })) // the control
	f.detach(n, "a")
}

// TestSharedNotOpened: nothing is opened where nobody can ask what the kernel offers, or where the host is not there.
func TestSharedNotOpened(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	const gone = "/nonexistent"
	c := percall.Config{StoreDir: t.TempDir(), NetNS: gone, Pins: ns.HostPins(f.World.Pins), Owner: f.owner}
	if e, err := percall.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("%v, %v", e, err)
	}
	if r, err := percall.OpenReader(t.Context(), c); err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("%v, %v", r, err)
	}
	t.Setenv("PATH", t.TempDir())
	if e, err := f.open(); err == nil || !strings.Contains(err.Error(), "nft") {
		t.Errorf("%v, %v", e, err)
	}
}
