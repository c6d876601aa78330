package main

import (
	"github.com/spf13/cobra"

	"github.com/mcpnet/mcpnet/internal/install"
)

func newUninstall(o *options) *cobra.Command {
	r := install.Request{}
	var s selection
	c := &cobra.Command{
		Use:   "uninstall [--cni] [--netavark] [--service] [--runtime ENGINE]...",
		Short: "Remove what `mcpnet install` put in place",
		Long: `Remove what ` + "`mcpnet install`" + ` put in place: the parts that are named, or everything.

Removed are files that are still as mcpnet wrote them, directories that it made and that are empty now, and the record
of both, /var/lib/mcpnet/install.json. A file that was changed since stays, and the output says so.
From configuration files that are not mcpnet's (daemon.json, config.toml) its part is taken out, and a default runtime
that it replaced is brought back. A part that somebody changed stays, with what it names.

Remove the containers on mcpnet's networks first: their engines call the plugin to detach them. Those that were made
with the runtime need it until they are gone. The service has to be stopped first, too: systemctl disable --now mcpnet.
Exit status: 0 it is gone, 1 something was left or it was refused, 2 wrong usage, 3 it failed.`,
		Example: "  mcpnet uninstall --dry-run\n  mcpnet uninstall --netavark\n" +
			"  mcpnet uninstall --runtime docker && systemctl restart docker\n  mcpnet uninstall",
		RunE: func(c *cobra.Command, _ []string) error {
			r.Parts, r.Engines = s.parts(), s.engines()
			result, err := install.Uninstall(r)
			return conclude(c, o, result, err)
		},
	}
	s.flags(c, &r)
	return c
}
