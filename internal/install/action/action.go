// Package action decides what an installation changes on a host. What should be there and what was seen there go in;
// actions come out, which are values that print themselves. It has no effects.
package action

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// Verb is what an action does.
type Verb string

// The verbs. Unchanged and Leave do nothing and say why.
const (
	MakeDirectory   Verb = "make-directory"
	Write           Verb = "write"
	Replace         Verb = "replace"
	Edit            Verb = "edit"
	Unchanged       Verb = "unchanged"
	Record          Verb = "record"
	Remove          Verb = "remove"
	RemoveDirectory Verb = "remove-directory"
	Forget          Verb = "forget"
	Leave           Verb = "leave"
)

// verbs has each verb as what would be done and as what was done.
var verbs = map[Verb]struct{ would, did string }{
	MakeDirectory:   {"would make directory", "made directory"},
	Write:           {"would write", "wrote"},
	Replace:         {"would replace", "replaced"},
	Edit:            {"would edit", "edited"},
	Unchanged:       {"unchanged:", "unchanged:"},
	Record:          {"would record that in", "recorded that in"},
	Remove:          {"would remove", "removed"},
	RemoveDirectory: {"would remove directory", "removed directory"},
	Forget:          {"would forget", "forgot"},
	Leave:           {"would leave", "left"},
}

// Action is one change of the host, or the reason for none.
type Action struct {
	Verb Verb      `json:"action"`
	Path string    `json:"path"`
	Part part.Part `json:"part,omitempty"`
	// Mode and SHA256 are the file's. Source is where its content comes from.
	Mode   manifest.Mode `json:"mode,omitzero"`
	SHA256 string        `json:"sha256,omitempty"`
	Source string        `json:"source,omitempty"`
	Reason string        `json:"reason,omitempty"`
	// Why says what makes this the place.
	Why string `json:"why,omitempty"`
	// Diff is what changes in a configuration file.
	Diff string `json:"diff,omitempty"`
	// Content is what the file will hold.
	Content []byte `json:"-"`
}

// String says what the action would do.
func (a Action) String() string { return verbs[a.Verb].would + " " + a.object() }

// Done says what the action did.
func (a Action) Done() string { return verbs[a.Verb].did + " " + a.object() }

func (a Action) object() string {
	text := a.Path
	if a.Verb == Write || a.Verb == Replace {
		text += fmt.Sprintf(", mode %s, from %s", a.Mode, a.Source)
		if a.Why != "" {
			text += " (" + a.Why + ")"
		}
	}
	if a.Reason != "" {
		text += ": " + a.Reason
	}
	return text
}

// Refused are the reasons why nothing was done.
type Refused struct{ Reasons []string }

func (r Refused) Error() string { return strings.Join(r.Reasons, "; ") + "; nothing was changed" }

// Sum is the SHA-256 of a content, in hexadecimal digits.
func Sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

// none is how diff and patch call the side of a file that is not there.
const none = "/dev/null"

// diff shows what writing a text changes, as `diff -u` does and as patch(1) takes it.
func diff(path string, s Seen, after string) string {
	from := path
	if !s.There {
		from = none
	}
	return udiff.Unified(from, path, string(s.Text), after)
}

// diffRemoved shows the same of removing a file.
func diffRemoved(path string, s Seen) string {
	return udiff.Unified(path, none, string(s.Text), "")
}
