package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/mcpnet/mcpnet/internal/evidence"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/surface"
)

// repairPerCall repairs the networks of surfaces that start a process for each call, until the context ends. Those
// plugins work without it. With it, lost rules are back in milliseconds, and mcpnet.caps.mode=enforce is possible.
func repairPerCall(ctx context.Context, c config, log *slog.Logger) error {
	for _, s := range surface.PerCall() {
		log := log.With("surface", s.Owner)
		e, err := percall.Open(ctx, percall.Config{StoreDir: s.Store(c.store), NetNS: c.netns, Owner: s.Owner,
			Pins: c.pins(), Log: log})
		if err != nil {
			return fmt.Errorf("%s networks: %w", s.Owner, err)
		}
		leave, err := e.Reside()
		if err != nil {
			return errors.Join(fmt.Errorf("%s networks: %w", s.Owner, err), e.Close())
		}
		go evidence.NewProcessCollector(log, c.attestations).Run(ctx, e)
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

// perCallOwners names the surfaces that repairPerCall serves.
func perCallOwners() string {
	var names []string
	for _, s := range surface.PerCall() {
		names = append(names, string(s.Owner))
	}
	return strings.Join(names, ", ")
}
