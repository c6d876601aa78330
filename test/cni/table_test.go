// Package cni is a conformance table for CNI plugins: versions, verbs, idempotence, order, concurrency and broken
// input, through libcni, cnitool and the bare protocol. There is no official one (containernetworking/cni#540).
//
// A row runs on every subject: mcpnet in main mode, mcpnet behind the reference bridge plugin, and that plugin alone
// as the control. A row collects faults. Where a subject is known to deviate from the specification, the subject says
// so with the fault's words, and the row fails when the fault does not show: a deviation is checked, not skipped.
// Another plugin is tested by adding a subject.
package cni

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestMain lets more tests run at a time than there are processors, and has programs built once.
func TestMain(m *testing.M) {
	testnet.AtATime(6)
	os.Exit(testengine.BuildOnce(m.Run))
}

// row is one line of the table.
type row struct {
	name    string
	version string             // cniVersion of the network; "" is the latest
	only    func(subject) bool // the subjects that have what it is about; nil is all
	run     func(*lab)
}

// The parts of the table, one for each concept.
var table = map[string]func() []row{
	"versions":     versionRows,
	"order":        orderRows,
	"interfaces":   interfaceRows,
	"gc":           gcRows,
	"check":        checkRows,
	"status":       statusRows,
	"results":      resultRows,
	"capabilities": capabilityRows,
	"args":         argRows,
	"chains":       chainRows,
	"concurrency":  concurrencyRows,
	"kills":        killRows,
	"namespaces":   spaceRows,
	"wrong input":  wrongRows,
	"cnitool":      cnitoolRows,
}

// withChains are the parts that the plugin goes through on an older kernel, too: there each wire has a chain of its
// own.
var withChains = []string{"order", "gc", "check", "concurrency", "kills", "namespaces"}

// on reports whether a row of a part runs on a subject.
func (r row) on(s subject, part string) bool {
	return (r.only == nil || r.only(s)) && (!s.older || slices.Contains(withChains, part))
}

// withIPTables are the parts in which mcpnet's networks have rules in iptables, too, as they have by default.
var withIPTables = []string{"order", "concurrency", "cnitool", "namespaces"}

// TestConformance runs the table.
func TestConformance(t *testing.T) {
	testcni.Plugin(t) // one for all rows
	for part, rows := range table {
		for _, s := range subjects {
			for _, r := range rows() {
				if !r.on(s, part) {
					continue
				}
				s := s
				if !slices.Contains(withIPTables, part) {
					s = s.withoutIPTables()
				}
				t.Run(part+"/"+s.name+"/"+r.name, func(t *testing.T) {
					t.Parallel()
					l := newLab(t, s, r.version)
					r.run(l)
					l.finish()
					settle(t, r.name, s, l.faults)
				})
			}
		}
	}
}

// settle compares the faults of a row with the deviations that are known.
func settle(t *testing.T, row string, s subject, faults []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, fault := range faults {
		known := slices.IndexFunc(s.deviates, func(d deviation) bool { return d.row == row && strings.Contains(fault, d.shows) })
		if known < 0 {
			t.Errorf("%s", fault)
			continue
		}
		seen[s.deviates[known].shows] = true
		t.Logf("known deviation: %s (%s)", fault, s.deviates[known].why)
	}
	for _, d := range s.deviates {
		if d.row == row && !d.maybe && !seen[d.shows] {
			t.Errorf("the deviation %q is written down but does not show: strike it out (%s)", d.shows, d.why)
		}
	}
}

// TestTable holds the table to its form.
func TestTable(t *testing.T) {
	runs := map[[2]string]int{} // of a row on a subject
	for part, rows := range table {
		for _, r := range rows() {
			on := 0
			for _, s := range subjects {
				if r.on(s, part) {
					runs[[2]string{r.name, s.name}]++
					on++
				}
				if runs[[2]string{r.name, s.name}] > 1 {
					t.Errorf("%s: row %q is there twice", part, r.name)
				}
			}
			if on == 0 {
				t.Errorf("%s: row %q runs on no subject", part, r.name)
			}
		}
	}
	for _, s := range subjects {
		for _, d := range s.deviates {
			if runs[[2]string{d.row, s.name}] == 0 {
				t.Errorf("%s deviates in row %q, which does not run on it", s.name, d.row)
			}
			if d.shows == "" || d.why == "" {
				t.Errorf("%s deviates in row %q without saying how and why", s.name, d.row)
			}
		}
	}
}
