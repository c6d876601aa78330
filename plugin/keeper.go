package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/operator"
)

// keep watches over the networks that the plugins for CNI and netavark made, until the context ends. Those plugins are a
// process for each call and do without it; with it, rules that go missing are back in milliseconds.
func keep(ctx context.Context, c config, log *slog.Logger) error {
	for owner, dir := range operator.Shared {
		e, err := engine.Open(ctx, engine.Config{StoreDir: filepath.Join(c.store, dir), NetNS: c.netns, Owner: owner, Shared: true, Log: log.With("surface", owner)})
		if err != nil {
			return fmt.Errorf("%s networks: %w", owner, err)
		}
		go func() {
			defer e.Close()
			if _, err := e.Reconcile(ctx); err != nil {
				log.Error("repair at start", "surface", owner, "error", err)
			}
			e.Watch(ctx)
		}()
	}
	return nil
}
