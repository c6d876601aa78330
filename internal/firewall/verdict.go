package firewall

// Statement does something to a packet before the verdict: Remember or Forget.
type Statement interface{ statement() }

// Remember puts the fields into a dynamic set for a time, again if they are there.
type Remember struct {
	Fields  []Field
	Set     string
	Timeout string // nftables time, e.g. "60s"
}

// Forget takes the fields out of a dynamic set.
type Forget struct {
	Fields []Field
	Set    string
}

func (Remember) statement() {}
func (Forget) statement()   {}

// Verdict ends a rule or a chain. Forward and AnswerARP only hold when their map has the key, otherwise the next rule
// is tried.
type Verdict interface{ verdict() }

// Simple is a verdict without arguments, by its nftables text.
type Simple string

// The simple verdicts.
const (
	Accept     Simple = "accept"
	Drop       Simple = "drop"
	ResetTCP   Simple = "reject with tcp reset"
	Reject     Simple = "reject with icmpx admin-prohibited"
	Masquerade Simple = "masquerade"
)

// Goto continues in another chain and does not come back.
type Goto struct{ Chain string }

// Forward sends the frame out of the interface that the map gives for the fields.
type Forward struct {
	Fields []Field
	Map    string
}

// AnswerARP turns a request around: the map gives the hardware address of the address that is asked for, and the answer
// goes out where the request came in. No ARP frame of an endpoint ever reaches another one.
type AnswerARP struct{ Map string }

func (Simple) verdict()    {}
func (Goto) verdict()      {}
func (Forward) verdict()   {}
func (AnswerARP) verdict() {}
