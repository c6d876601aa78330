package install

import (
	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// What requests and results consist of. Callers need this package only.
type (
	Part    = part.Part
	Engine  = part.Engine
	Action  = action.Action
	Verb    = action.Verb
	Refused = action.Refused
)

// The parts that are chosen by name.
const (
	CNI      = part.CNI
	Netavark = part.Netavark
	Service  = part.Service
)

// Unchanged is the verb of what is as it should be already.
const Unchanged = action.Unchanged

// Parts and Engines list what can be chosen, in the order of their installation.
var (
	Parts   = part.Chosen
	Engines = part.Engines
)
