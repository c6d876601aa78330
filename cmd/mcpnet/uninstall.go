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
of both, /var/lib/mcpnet/install.json. A file that was changed since stays, and the output says so. A configuration of an
engine's is as it was before, or, if it was changed since, without mcpnet's part.

Remove the containers on mcpnet's networks first: their engines call the plugin to detach them. The service has to be
stopped first, too: systemctl disable --now mcpnet.
Exit status: 0 it is gone, 1 something was left or it was refused, 2 wrong usage, 3 it failed.`,
		Example: "  mcpnet uninstall --dry-run\n  mcpnet uninstall --netavark\n  mcpnet uninstall",
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if r.Parts, err = s.parts(); err != nil {
				return err
			}
			result, err := install.Uninstall(r)
			return conclude(c, o, result, err)
		},
	}
	s.flags(c, &r)
	return c
}
