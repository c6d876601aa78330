package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/mcpnet/mcpnet/internal/attest"
)

// bell asks for a look soon. Several rings before the look are one.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

// ring never waits.
func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// hear passes on what mcpnet-runtime says, until the context ends. Without its word containers are admitted later, by other
// evidence.
func hear(ctx context.Context, word attest.Directory, log *slog.Logger, heard func(endpoint string)) {
	for ctx.Err() == nil {
		if err := word.Watch(ctx, heard); err != nil {
			log.Warn("attestations: containers are admitted later, by other evidence", "error", err)
			time.Sleep(time.Second)
		}
	}
}
