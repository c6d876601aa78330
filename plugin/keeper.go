package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/operator"
)

// keep watches over the networks that the plugins for CNI and netavark made, until the context ends. Those plugins are a
// process for each call and do without it; with it, rules that go missing are back in milliseconds, and
// mcpnet.caps.mode=enforce is possible.
func keep(ctx context.Context, c config, log *slog.Logger) error {
	for owner, dir := range operator.Shared {
		log := log.With("surface", owner)
		w := newWatchman(log, c.word)
		e, err := engine.Open(ctx, engine.Config{StoreDir: filepath.Join(c.store, dir), NetNS: c.netns, Owner: owner, Shared: true, Log: log})
		if err != nil {
			return fmt.Errorf("%s networks: %w", owner, err)
		}
		leave, err := e.Reside()
		if err != nil {
			return errors.Join(fmt.Errorf("%s networks: %w", owner, err), e.Close())
		}
		go w.run(ctx, e)
		go func() {
			defer e.Close()
			defer leave()
			if _, err := e.Reconcile(ctx); err != nil {
				log.Error("repair at start", "error", err)
			}
			e.Watch(ctx)
		}()
	}
	return nil
}
