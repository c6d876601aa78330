package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// StoreDir is below which the surfaces without a process of their own keep their documents.
const StoreDir = "/var/lib/mcpnet"

// Shared are those surfaces, and the directory of each below StoreDir.
var Shared = map[topology.Owner]string{topology.OwnerCNI: "cni", topology.OwnerNetavark: "netavark"}

// Local looks at the networks of a surface by itself: nobody has to run for that.
type Local struct {
	Owner topology.Owner
	dir   string
}

// Locals finds the surfaces that have been used on this host.
func Locals(store string) []Local {
	var found []Local
	for _, owner := range []topology.Owner{topology.OwnerCNI, topology.OwnerNetavark} {
		dir := filepath.Join(store, Shared[owner])
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			found = append(found, Local{owner, dir})
		}
	}
	return found
}

// Status reads what is in force.
func (l Local) Status(ctx context.Context) (s engine.Status, err error) {
	err = l.with(ctx, func(e *engine.Engine) error {
		s, err = e.Status(ctx)
		return err
	})
	return s, err
}

// Plan tells what a repair would change now.
func (l Local) Plan(ctx context.Context) (p Plan, err error) {
	err = l.with(ctx, func(e *engine.Engine) error {
		steps, err := e.Plan(ctx)
		for _, s := range steps {
			p.Steps = append(p.Steps, s.String())
		}
		return err
	})
	return p, err
}

func (l Local) with(ctx context.Context, f func(*engine.Engine) error) error {
	e, err := engine.Open(ctx, engine.Config{StoreDir: l.dir, Owner: l.Owner, Shared: true, Log: slog.New(slog.DiscardHandler)})
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: permission denied: run this as root or with sudo", l.dir)
	}
	if err != nil {
		return fmt.Errorf("%s networks: %w", l.Owner, err)
	}
	defer e.Close()
	return f(e)
}
