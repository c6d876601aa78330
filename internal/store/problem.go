package store

import (
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/store/internal/format"
)

// ErrNewer says that a newer mcpnet wrote a document, or upgraded the store.
var ErrNewer = format.ErrNewer

// Ref names an endpoint by its ids, or a network where Endpoint is empty.
type Ref struct{ Network, Endpoint string }

// Problem says why a document cannot be read. The document stays where it is.
type Problem struct {
	Path string
	Ref
	Reason error
	Remedy string
}

// Error names the document, the reason and the remedy.
func (p *Problem) Error() string {
	return fmt.Sprintf("store: %s: %v. Remedy: %s", p.Path, p.Reason, p.Remedy)
}

// Unwrap is the reason.
func (p *Problem) Unwrap() error { return p.Reason }

func newProblem(path string, about Ref, reason error) *Problem {
	p := &Problem{Path: path, Ref: about, Reason: reason}
	switch {
	case errors.Is(reason, ErrNewer):
		p.Remedy = "use the mcpnet that wrote it, or a newer one"
	case about.Endpoint == "":
		p.Remedy = "mend the file, or remove the network and make it anew"
	default:
		p.Remedy = "mend the file, or remove the container and start it anew"
	}
	return p
}

// asProblem is the problem in an error, or one made of the error.
func asProblem(err error, path string, about Ref) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return newProblem(path, about, err)
}

// said gives what the document's text is about, where that differs from its path.
func (p *Problem) said() (Ref, bool) {
	var c contradiction
	if !errors.As(p.Reason, &c) || c.said == p.Ref || checkID(c.said.Network) != nil {
		return Ref{}, false
	}
	return c.said, true
}
