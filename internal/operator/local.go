package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Local looks at the networks of a surface by itself: nobody has to run for that.
type Local struct {
	Owner topology.Owner
	dir   string
}

// Locals finds the surfaces without a resident process that have been used on this host.
func Locals(root string) (found []Local) {
	for _, s := range surface.PerCall() {
		dir := s.Store(root)
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			found = append(found, Local{s.Owner, dir})
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
