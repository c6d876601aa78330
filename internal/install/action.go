package install

import "fmt"

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

// verbs gives each as what would be done and as what was done.
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
	Verb Verb   `json:"action"`
	Path string `json:"path"`
	Part Part   `json:"part,omitempty"`
	// Mode and SHA256 are of the file, and Source is where its content comes from.
	Mode   Mode   `json:"mode,omitzero"`
	SHA256 string `json:"sha256,omitempty"`
	Source string `json:"source,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Diff is what changes in a configuration file.
	Diff string `json:"diff,omitempty"`

	content []byte
}

// String says what the action would do.
func (a Action) String() string { return verbs[a.Verb].would + " " + a.object() }

// Done says what the action did.
func (a Action) Done() string { return verbs[a.Verb].did + " " + a.object() }

func (a Action) object() string {
	text := a.Path
	if a.Verb == Write || a.Verb == Replace {
		text += fmt.Sprintf(", mode %s, from %s", a.Mode, a.Source)
	}
	if a.Reason != "" {
		text += ": " + a.Reason
	}
	return text
}
