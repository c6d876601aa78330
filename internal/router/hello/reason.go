package hello

import "fmt"

// Reason says in one word why a connection is refused.
type Reason string

// The reasons of this package.
const (
	NoHello        Reason = "no-hello"        // what came is no ClientHello
	BadHello       Reason = "bad-hello"       // a ClientHello that is malformed, or that could be read in two ways
	SNIMissing     Reason = "sni-missing"     // a ClientHello without a server name
	EncryptedHello Reason = "encrypted-hello" // a ClientHello that may hide another one
	NoRequest      Reason = "no-request"      // what came is no HTTP request
	BadRequest     Reason = "bad-request"     // a request that is malformed, or that could be read in two ways
	HostMissing    Reason = "host-missing"    // a request without a host
	ProxyRequest   Reason = "proxy-request"   // CONNECT
	TooLarge       Reason = "hello-too-large" // no end within Max
)

// Reasons lists the reasons of this package.
func Reasons() []Reason {
	return []Reason{NoHello, BadHello, SNIMissing, EncryptedHello, NoRequest, BadRequest, HostMissing, ProxyRequest,
		TooLarge}
}

// Refusal is why no name can be read.
type Refusal struct {
	Reason Reason
	What   string // what is wrong, without bytes of the client's
}

// Error gives the reason, and what is wrong.
func (r *Refusal) Error() string { return string(r.Reason) + ": " + r.What }

func refuse(reason Reason, what string, args ...any) error {
	return &Refusal{Reason: reason, What: fmt.Sprintf(what, args...)}
}
