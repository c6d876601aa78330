package testhost

import (
	"os"

	"github.com/mcpnet/mcpnet/internal/router/process"
)

// A front starts the test's own program as the process that reads what servers send.
func init() {
	if len(os.Args) == 2 && os.Args[1] == process.Argument {
		process.Main()
		os.Exit(0)
	}
}
