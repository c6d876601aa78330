package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/mcpnet/mcpnet/internal/attest"
)

// watchAttestations calls changed for each attestation of mcpnet-runtime, until the context ends. Without attestations
// other evidence admits containers, later.
func watchAttestations(ctx context.Context, attestations attest.Directory, log *slog.Logger,
	changed func(endpoint string)) {
	for ctx.Err() == nil {
		if err := attestations.Watch(ctx, changed); err != nil {
			log.Warn("attestations: containers are admitted later, by other evidence", "error", err)
			time.Sleep(time.Second)
		}
	}
}
