package oci_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/oci"
)

// TestReport: engines show the last line of the log that they name, in the form that they ask for.
func TestReport(t *testing.T) {
	const says = "mcpnet-runtime: container c: \"quoted\""
	reported := func(format string) string {
		t.Helper()
		log := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(log, []byte("earlier\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		args := "--log " + log + format + " create abc"
		oci.ParseCall(strings.Fields(args)).Report(errors.New(`container c: "quoted"`))
		text, err := os.ReadFile(log)
		line, kept := strings.CutPrefix(string(text), "earlier\n")
		if err != nil || !kept || !strings.HasSuffix(line, "\n") {
			t.Fatalf("%q: the log is %q, %v", format, text, err)
		}
		return line
	}
	var entry struct{ Level, Msg, Time string }
	if err := json.Unmarshal([]byte(reported(" --log-format json")), &entry); err != nil || entry.Level != "error" || entry.Msg != says {
		t.Errorf("%+v, %v", entry, err)
	}
	if at, err := time.Parse(time.RFC3339, entry.Time); err != nil || time.Since(at) > time.Minute {
		t.Errorf("time %q: %v", entry.Time, err)
	}
	if line := reported(""); !strings.Contains(line, `level=error msg="mcpnet-runtime: container c: \"quoted\""`) {
		t.Errorf("the text form is %q", line)
	}
	oci.ParseCall([]string{"create", "abc"}).Report(errors.New("without a log")) // standard error has it
}
