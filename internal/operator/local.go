package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/report"
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
func (l Local) Status(ctx context.Context) (s report.Status, err error) {
	err = l.with(ctx, func(r *percall.Reader) error {
		s, err = r.Status(ctx)
		return err
	})
	return s, err
}

// Plan tells what a repair would change now.
func (l Local) Plan(ctx context.Context) (p report.Plan, err error) {
	err = l.with(ctx, func(r *percall.Reader) error {
		p.Schema = report.PlanSchema
		p.Steps, err = r.Plan(ctx)
		return err
	})
	return p, err
}

func (l Local) with(ctx context.Context, f func(*percall.Reader) error) error {
	r, err := percall.OpenReader(ctx, percall.Config{StoreDir: l.dir, Owner: l.Owner, Log: slog.New(slog.DiscardHandler),
		Bus:  surface.SystemBus(os.Getenv(surface.SystemBusVariable)),
		Pins: ns.HostPins(surface.Namespaces(os.Getenv(surface.NamespacesVariable)))})
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: permission denied: run this as root or with sudo", l.dir)
	}
	if err != nil {
		return fmt.Errorf("%s networks: %w", l.Owner, err)
	}
	defer r.Close()
	return f(r)
}
