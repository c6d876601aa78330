// Package evidence collects evidence about the containers of endpoints, and admits or quarantines them by it (P10). The
// engine's record, attestations of mcpnet-runtime and processes are evidence; package admission judges them.
package evidence

import (
	"context"
	"log/slog"
	"time"

	"github.com/mcpnet/mcpnet/internal/attest"
)

// watchAttestations calls changed for each attestation of mcpnet-runtime, until the context ends. Without attestations
// other evidence admits containers, later.
func watchAttestations(ctx context.Context, attestations attest.Directory, log *slog.Logger, changed func(endpoint string)) {
	for ctx.Err() == nil {
		if err := attestations.Watch(ctx, changed); err != nil {
			log.Warn("attestations: containers are admitted later, by other evidence", "error", err)
			time.Sleep(time.Second)
		}
	}
}
