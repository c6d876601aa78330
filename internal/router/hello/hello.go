// Package hello reads whom a client asks for: the server name of a TLS ClientHello, or the host of an HTTP request. It
// reads untrusted bytes, has no effects, and is strict: what two programs might read in different ways is refused.
//
// What it cannot see:
//   - Encrypted ClientHello. Its extension is refused, and so are clients that send it as GREASE, as browsers do:
//     nobody but the server can tell the two apart.
//   - A second ClientHello after a HelloRetryRequest, and renegotiation. RFC 8446 (4.1.2) forbids another name in the
//     former; that is for the server to check.
//   - Requests after the first one on a connection, and streams after the first one of HTTP/2. They go to the same
//     server.
package hello

import (
	"errors"
	"fmt"
)

// Max is how many bytes a hello may take, with the records, frames or lines around it.
const Max = 16 << 10

// Kind is the protocol that a client is to begin with.
type Kind uint8

// The kinds. The zero value is none.
const (
	TLS  Kind = iota + 1 // a ClientHello of TLS 1.0 to 1.3
	HTTP                 // a request of HTTP/1.0 or 1.1, or of HTTP/2 with prior knowledge
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case TLS:
		return "tls"
	case HTTP:
		return "http"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ErrMore says that the bytes so far begin a hello that does not end yet.
var ErrMore = errors.New("the hello goes on")

// Name reads the name that a client asks for from all that it sent so far. The name is in lower case, without port and
// final dot. The error is ErrMore, or a *Refusal: no byte that may come changes a refusal.
func Name(kind Kind, sent []byte) (string, error) {
	name, err := read(kind, sent)
	if errors.Is(err, ErrMore) && len(sent) >= Max {
		return "", refuse(TooLarge, "more than %d bytes", Max)
	}
	return name, err
}

func read(kind Kind, sent []byte) (string, error) {
	switch kind {
	case TLS:
		return serverName(sent)
	case HTTP:
		return requestHost(sent)
	}
	return "", refuse(NoHello, "%s is not read", kind)
}
