package report

import "cmp"

// Finding is something that a person should know. It is one value wherever it is shown: status, logs, and what comes.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Object   string   `json:"object"`           // what it is about: "network mcp-secure", "host"
	Meaning  string   `json:"meaning"`          // what it is, and what follows
	Remedy   string   `json:"remedy,omitempty"` // what mends it
}

// Severity orders findings.
type Severity string

// The severities, the worst last.
const (
	Info    Severity = "info"    // nothing is to be done
	Warning Severity = "warning" // something works less well than it could
	Failure Severity = "failure" // something does not work, or is not known; no promise is broken
)

// Code names a kind of finding, for programs.
type Code string

// The kinds.
const (
	CodeNoIPTables  Code = "iptables-unavailable"
	CodeNoFirewalld Code = "firewalld-unreachable"
	CodeFirewalld   Code = "firewalld-refuses"
	CodeForeignZone Code = "firewalld-other-zone"
	CodeDocument    Code = "document-unreadable"
	CodeNetwork     Code = "network-failed"
	CodeNames       Code = "names-unanswered"
	CodeForeign     Code = "namespace-foreign"
	CodeDrift       Code = "not-in-force"
	CodeQuarantined Code = "endpoint-quarantined"
	CodeEvidence    Code = "no-evidence"
	CodePort        Code = "published-port"
	CodeNoGateway   Code = "no-gateway"
	CodeEgress      Code = "egress-dead"
	CodeWayOut      Code = "way-out"
	CodeExcess      Code = "capabilities-excess"
	CodeUnwatched   Code = "nobody-watches"
	CodeOldNFT      Code = "nft-older"
)

// Unreadable tells of a document of a store that cannot be read.
func Unreadable(path string, reason error, remedy string) Finding {
	return Finding{Code: CodeDocument, Severity: Failure, Object: path, Meaning: reason.Error(), Remedy: remedy}
}

// Compare orders findings by severity, the worst first, then by object.
func Compare(a, b Finding) int {
	return cmp.Or(-cmp.Compare(a.Severity.rank(), b.Severity.rank()), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Code, b.Code),
		cmp.Compare(a.Meaning, b.Meaning))
}

func (s Severity) rank() int {
	switch s {
	case Failure:
		return 2
	case Warning:
		return 1
	}
	return 0
}
