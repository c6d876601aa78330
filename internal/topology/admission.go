package topology

import "github.com/mcpnet/mcpnet/internal/policy"

// Admission is what is known of an endpoint's container: whether it holds no more than the policy's capabilities and
// has no other way out (P10).
type Admission struct {
	State  AdmissionState `json:"state,omitempty"`
	By     string         `json:"by,omitempty"`     // the evidence
	Reason string         `json:"reason,omitempty"` // what is against it
	WayOut bool           `json:"wayOut,omitempty"` // it reaches past its network, where it violates the policy
}

// AdmissionState is the outcome of the evidence.
type AdmissionState string

// The states. The zero value says that there is no evidence yet.
const (
	AdmissionWaiting AdmissionState = ""
	Conforms         AdmissionState = "conforms"
	Violates         AdmissionState = "violates"
)

// Examined reports whether the network wants evidence about an endpoint. Gateways are trusted.
func (n Network) Examined(e Endpoint) bool {
	return e.Role == RoleServer && n.Policy.CapsMode != policy.CapsOff
}

// Held reports whether an endpoint's wire is to pass nothing: because of what is known of its container, or with
// mcpnet.caps.mode=enforce until something is.
func (n Network) Held(e Endpoint) bool {
	if e.Role != RoleServer {
		return false
	}
	switch n.Policy.CapsMode {
	case policy.CapsEnforce:
		return e.Admission.State != Conforms
	case policy.CapsGuard:
		return e.Admission.State == Violates && e.Admission.WayOut
	}
	return false
}

// Waits reports whether the wire passes nothing because nothing is known of the container yet.
func (n Network) Waits(e Endpoint) bool { return n.Held(e) && e.Admission.State == AdmissionWaiting }
