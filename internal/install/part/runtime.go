package part

import "slices"

// The names under which engines know the runtime. The one of DefaultName acts only on containers that are on mcpnet
// networks, so that it can be an engine's default. The name of the program tells which of the two it is. An argument
// cannot: Docker makes an unquoted shell script of a runtime's arguments, and containerd has none.
const (
	RuntimeName = "mcpnet"
	DefaultName = "mcpnet-default"
)

// The places of the program, under both names.
const (
	RuntimePath = "/usr/local/libexec/mcpnet/mcpnet-runtime"
	DefaultPath = RuntimePath + "-default"
)

// RuntimePaths are the programs by the names of the runtimes.
var RuntimePaths = map[string]string{RuntimeName: RuntimePath, DefaultName: DefaultPath}

// RuntimeNames are the runtimes in the order in which configurations list them.
var RuntimeNames = []string{RuntimeName, DefaultName}

// IsRuntime tells whether a name is one of mcpnet's runtimes.
func IsRuntime(name string) bool { return slices.Contains(RuntimeNames, name) }
