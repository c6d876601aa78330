package percall

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/report"
)

// evidenceFact is the fact in the store that tells what evidence the resident process cannot have.
const evidenceFact = "evidence"

// Lacking records what evidence cannot be had, for whoever reads the status.
func (f *Front) Lacking(_ context.Context, findings []report.Finding) error {
	text, err := json.Marshal(findings)
	if err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return f.store.PutFact(evidenceFact, string(text))
}

// evidence tells what the resident process does not know of containers. Where nobody is resident, each network says so.
func (r *Reader) evidence(s *state, watched bool) (lacking []report.Finding) {
	wanted := 0
	for _, n := range s.planned() {
		wanted += len(core.ExaminedOf(n))
	}
	if wanted == 0 || !watched {
		return nil
	}
	text := r.docs.Fact(evidenceFact)
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &lacking); err != nil {
		return []report.Finding{report.Unreadable("fact "+evidenceFact, err, "restart mcpnet's service")}
	}
	return lacking
}
