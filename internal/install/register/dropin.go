package register

import (
	"fmt"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/config"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// A drop-in is a configuration file that is mcpnet's alone, in a directory where an engine merges all files.

const header = "# Written by `mcpnet install --runtime %s`; `mcpnet uninstall --runtime %[1]s` removes it.\n"

// dropin is a drop-in that was checked: it parses, and holds what it is for.
func dropin(e part.Engine, path, text string, holds map[string]any) action.File {
	got, err := config.ParseTOML(text)
	if err == nil {
		err = config.Keeps(holds, got, nil)
	}
	if err != nil {
		panic(fmt.Sprintf("%s as mcpnet would write it: %v", path, err)) // every value in it was quoted here
	}
	return ownFile(e, path, []byte(text))
}

// ownFile is a file whose content mcpnet itself knows.
func ownFile(e part.Engine, path string, content []byte) action.File {
	return action.File{Part: e.Part(), Path: path, Mode: 0o644, Source: "mcpnet itself", Content: content}
}
