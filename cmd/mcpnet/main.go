// Command mcpnet shows an operator what mcpnet does on this host, and installs what container engines need of it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mcpnet/mcpnet/internal/install"
	"github.com/mcpnet/mcpnet/internal/printed"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/version"
)

// Exit codes: scripts can tell "not as it should be" from "could not look".
const (
	exitOK     = 0
	exitDrift  = 1 // what was asked for is not in force
	exitUsage  = 2
	exitFailed = 3 // the question could not be answered
)

// errDrift makes a command that showed its result exit with exitDrift.
var errDrift = errors.New("not everything is in force")

// usageError is an error in the command line.
type usageError struct{ error }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, complaints io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(complaints)
	root.InitDefaultCompletionCmd()
	takeNoArgs(root)
	err := root.ExecuteContext(ctx)
	var usage usageError
	var refused install.Refused
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errDrift):
		return exitDrift
	case errors.As(err, &refused):
		complain(complaints, err)
		return exitDrift
	case errors.As(err, &usage):
		complain(complaints, err)
		return exitUsage
	}
	complain(complaints, err)
	return exitFailed
}

// complain prints an error, which may repeat what others wrote.
func complain(out io.Writer, err error) { fmt.Fprintln(out, "mcpnet:", printed.Lines(err.Error())) }

// options are those of every command.
type options struct {
	socket  string
	store   string
	json    bool
	timeout time.Duration
}

func newRoot() *cobra.Command {
	o := &options{}
	root := &cobra.Command{
		Use:   "mcpnet",
		Short: "Show what mcpnet does on this host",
		Long: `mcpnet gives MCP servers in containers a network on which they reach their gateway and nothing else.

This command shows what is in force, on every engine of the host. Networks are made with the engine itself:

  docker network create -d mcpnet --subnet 172.20.0.0/16 --ip-range 172.20.240.0/20 \
    -o mcpnet.gateway=172.20.0.100:8080 mcp-secure
  podman network create -d mcpnet --subnet 172.20.0.0/16 -o mcpnet.gateway=172.20.0.100:8080 mcp-secure

or with a conflist, for containerd, nerdctl, CRI-O and Podman 4 (examples/cni).

Exit status: 0 as it should be, 1 something is not in force, 2 wrong usage, 3 the question could not be answered.`,
		Example:       "  mcpnet status\n  mcpnet status --json | jq '.networks[].endpoints'\n  mcpnet plan",
		Version:       version.String(),
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetVersionTemplate("mcpnet {{.Version}}\n")
	root.PersistentFlags().StringVar(&o.socket, "socket", "/run/docker/plugins/mcpnet.sock", "the Docker plugin's socket")
	root.PersistentFlags().StringVar(&o.store, "store", surface.Root(os.Getenv(surface.RootVariable)),
		"the directory of the networks of CNI and Podman")
	root.PersistentFlags().BoolVar(&o.json, "json", false, "print JSON")
	root.PersistentFlags().DurationVar(&o.timeout, "timeout", 15*time.Second, "how long to wait for an answer")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newStatus(o), newPlan(o), newInstall(o), newUninstall(o), newSchema(), newVersion(o))
	return root
}

// takeNoArgs makes a superfluous word wrong usage, for cobra's own commands, too. Cobra would not look at the arguments
// of one that has nothing to run.
func takeNoArgs(c *cobra.Command) {
	c.Args = noArgs
	if !c.Runnable() {
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range c.Commands() {
		takeNoArgs(sub)
	}
}

// noArgs is cobra.NoArgs with the exit status of wrong usage.
func noArgs(c *cobra.Command, args []string) error {
	if err := cobra.NoArgs(c, args); err != nil {
		return usageError{err}
	}
	return nil
}

func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

func newVersion(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  mcpnet version\n  mcpnet version --json",
		RunE: func(c *cobra.Command, _ []string) error {
			if o.json {
				return printJSON(c.OutOrStdout(), map[string]string{"version": version.String()})
			}
			_, err := fmt.Fprintln(c.OutOrStdout(), "mcpnet", version.String())
			return err
		},
	}
}
