package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/mcpnet/mcpnet/internal/evidence"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/surface"
)

// repairPerCall repairs the networks of surfaces that start a process for each call, until the context ends. Those
// plugins work without it. With it, lost rules are back in milliseconds, and mcpnet.caps.mode=enforce is possible. A
// surface whose store cannot be used keeps nobody from the others.
func repairPerCall(ctx context.Context, c config, log *slog.Logger) {
	for _, s := range surface.PerCall() {
		log := log.With("surface", s.Owner)
		go untilDone(ctx, log, func() error { return repairSurface(ctx, c, s, log) })
	}
}

// repairSurface repairs the networks of one surface until the context ends.
func repairSurface(ctx context.Context, c config, s surface.Surface, log *slog.Logger) error {
	e, err := percall.Open(ctx, percall.Config{StoreDir: s.Store(c.store), NetNS: c.netns, Owner: s.Owner,
		Pins: c.pins(), Bus: c.bus(), Log: log})
	if err != nil {
		return fmt.Errorf("%s networks: %w", s.Owner, err)
	}
	defer e.Close()
	leave, err := e.Reside()
	if err != nil {
		return fmt.Errorf("%s networks: %w", s.Owner, err)
	}
	defer leave()
	go evidence.NewProcessCollector(log, c.attestations).Run(ctx, e)
	if _, err := e.Reconcile(ctx); err != nil {
		log.Error("repair at start", "error", err)
	}
	e.Watch(ctx)
	return nil
}

// againAfter parts two attempts at what failed. Its cause may be another process that is about to end.
const againAfter = 2 * time.Second

// untilDone tries until do succeeds or the context ends. It says once why an attempt failed.
func untilDone(ctx context.Context, log *slog.Logger, do func() error) {
	said := ""
	for {
		err := do()
		if err == nil || ctx.Err() != nil {
			return
		}
		if err.Error() != said {
			said = err.Error()
			log.Error("not served; mcpnet tries again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(againAfter):
		}
	}
}

// perCallOwners names the surfaces that repairPerCall serves.
func perCallOwners() string {
	var names []string
	for _, s := range surface.PerCall() {
		names = append(names, string(s.Owner))
	}
	return strings.Join(names, ", ")
}
