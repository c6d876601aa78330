package evidence

import (
	"log/slog"

	"github.com/mcpnet/mcpnet/internal/report"
)

// lackingFinding tells of evidence that cannot be had: ways out are not seen there.
func lackingFinding(object, meaning, remedy string) report.Finding {
	return report.Finding{Code: report.CodeEvidence, Severity: report.Failure, Object: object, Meaning: meaning, Remedy: remedy}
}

func logLacking(log *slog.Logger, lacking []report.Finding) {
	for _, f := range lacking {
		log.Warn("no evidence", "about", f.Object, "error", f.Meaning, "remedy", f.Remedy)
	}
}
