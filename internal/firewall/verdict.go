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

// MarkConnection gives the packet's connection the mark that the map has for the field.
type MarkConnection struct {
	Field Field
	Map   string
}

// SetMark gives the packet a mark (skb->mark).
type SetMark struct{ Mark int }

func (Remember) statement()       {}
func (Forget) statement()         {}
func (SetMark) statement()        {}
func (MarkConnection) statement() {}

// Verdict ends a rule or a chain. Forward, AnswerARP and Deliver only hold when their maps have the key, otherwise
// the next rule is tried.
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

// AnswerARP turns a request around: the map gives the hardware address of the address that is asked for, and the
// answer goes out where the request came in. No ARP frame of an endpoint ever reaches another one. Without a map the
// answer is the address that topology.MACFor gives, which begins with Prefix and ends with the IPv4 address that is
// asked for.
type AnswerARP struct{ Map, Prefix string }

// ToRouter hands a frame to the namespace's IP stack, over the router's port, marked with what is to become of it.
type ToRouter struct {
	Mark int
	MAC  string // of the router, which takes no other frame
}

// Deliver carries what the router sends to the endpoint that has the IP address.
type Deliver struct{ MACs, Wires string }

// DNAT sends a connection to another address and port.
type DNAT struct{ To string }

// DNATByMap sends a connection to the address that the map has for the fields. Without one the next rule is tried.
type DNATByMap struct {
	Fields []Field
	Map    string
}

// Redirect sends a connection to a port of the namespace's own.
type Redirect struct{ Port string }

func (Simple) verdict()    {}
func (DNATByMap) verdict() {}
func (Redirect) verdict()  {}
func (DNAT) verdict()      {}
func (Goto) verdict()      {}
func (Forward) verdict()   {}
func (AnswerARP) verdict() {}
func (ToRouter) verdict()  {}
func (Deliver) verdict()   {}
