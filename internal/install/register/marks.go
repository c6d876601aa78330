package register

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/manifest"
)

// The marks around mcpnet's part of a TOML file.
const (
	begin = "# BEGIN mcpnet: written by `mcpnet install --runtime containerd`, removed by `mcpnet uninstall`\n"
	end   = "# END mcpnet\n"
)

var (
	marked      = regexp.MustCompile(`(?ms)(?:^\n)?^# BEGIN mcpnet\b[^\n]*\n.*?^# END mcpnet\n`)
	importEntry = regexp.MustCompile(regexp.QuoteMeta(strconv.Quote(containerdDropin)) + `(, )?`)
)

// withoutOurs is a text without what was inserted, which the record tells, or, where there is no record, the marks.
func withoutOurs(text string, recorded manifest.Edit) string {
	if rest, err := removeInserted(text, recorded.Inserted); err == nil && len(recorded.Inserted) > 0 {
		return rest
	}
	return importEntry.ReplaceAllString(marked.ReplaceAllString(text, ""), "")
}

// removeInserted takes pieces of text out. Each has to be there once, as it was inserted.
func removeInserted(text string, pieces []string) (string, error) {
	for _, piece := range slices.Backward(pieces) {
		before, after, found := strings.Cut(text, piece)
		if !found || strings.Contains(after, piece) {
			return "", errors.New("was changed where mcpnet's part is (look for mcpnet): " +
				"remove that part yourself if nothing needs it")
		}
		text = before + after
	}
	return text, nil
}
