package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcpnet/mcpnet/internal/install"
	"github.com/mcpnet/mcpnet/internal/policy"
)

func newInstall(o *options) *cobra.Command {
	r := install.Request{}
	var s selection
	c := &cobra.Command{
		Use:   "install (--cni | --netavark | --service | --runtime ENGINE)...",
		Short: "Put the CNI plugin, the netavark plugin, the service or the runtime in place",
		Long: `Put in place what container engines other than Docker need, print what was done, and start nothing.

  --cni       for containerd, nerdctl, CRI-O and Podman 4 with CNI: the plugin, as mcpnet, into every directory of CNI
              plugins that is in use (/opt/cni/bin, /usr/libexec/cni, /usr/lib/cni), or into a new /opt/cni/bin
  --netavark  for Podman: the plugin, as mcpnet, into netavark's first plugin directory that is there, or into a new
              /usr/local/libexec/netavark
  --service   mcpnet-plugin and a systemd unit. Networks work without it; with it, rules that a firewall reload takes
              away are back in milliseconds. The command that starts it is printed
  --runtime   mcpnet-runtime, which drops capabilities, as the runtime "mcpnet" of an engine, and as "mcpnet-default", which
              acts on containers on mcpnet networks alone. docker: into daemon.json; containerd: a marked part at the end of
              config.toml; crio, podman: a drop-in file. --set-default makes mcpnet-default the engine's default runtime;
              --hooks installs Podman's precreate hook and verifier instead of, or beside, that

A configuration that is not mcpnet's alone keeps everything else in it; --dry-run shows the difference, and uninstalling
gives it back as it was. The programs are taken from beside this command, from ../libexec/mcpnet, or from --binary. Doing it once more brings
files up to date. A file that mcpnet did not write, or that was changed since, is not overwritten without --force.
All is done or nothing. ` + "`mcpnet uninstall`" + ` undoes it: /var/lib/mcpnet/install.json records what is mcpnet's.

Docker's plugin is another matter: it is made with ` + "`make plugin`" + `.
Exit status: 0 everything is in place, 1 refused because of a file that is there, 2 wrong usage, 3 it failed.`,
		Example: `  mcpnet install --cni --dry-run           # what would be done, and where
  mcpnet install --cni --service
  mcpnet install --netavark && podman network create -d mcpnet --subnet 172.20.0.0/16 \
    -o mcpnet.gateway=172.20.0.100:8080 mcp-secure
  mcpnet install --runtime docker --dry-run         # how daemon.json would change
  mcpnet install --runtime docker --set-default && systemctl reload docker
  mcpnet install --runtime podman --hooks
  mcpnet install --cni --dir /srv/cni/bin --binary build/mcpnet-cni
  mcpnet install --cni --service --root /mnt/image    # into the tree of an image`,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if r.Parts, err = s.parts(); err != nil {
				return err
			}
			if r.Executable, err = os.Executable(); err != nil {
				return err
			}
			result, err := install.Install(r)
			return conclude(c, o, result, err)
		},
	}
	s.flags(c, &r)
	c.Flags().BoolVar(&r.SetDefault, "set-default", false, "make mcpnet-runtime the default runtime of the engines")
	c.Flags().BoolVar(&r.Hooks, "hooks", false, "install Podman's precreate hook and verifier")
	c.Flags().StringVar(&r.Dir, "dir", "", "`directory` for the CNI or the netavark plugin instead of those in use")
	c.Flags().StringVar(&r.Binary, "binary", "", "`path` of mcpnet-cni or mcpnet-plugin, or of the directory that holds them")
	c.Flags().BoolVar(&r.Force, "force", false, "overwrite files that mcpnet did not write, or that were changed")
	_ = c.MarkFlagDirname("dir")
	return c
}

// selection is which parts a command is about.
type selection struct {
	named   map[install.Part]*bool
	engines []string
}

func (s *selection) flags(c *cobra.Command, r *install.Request) {
	about := map[install.Part]string{
		install.CNI:      "the CNI plugin (containerd, nerdctl, CRI-O, Podman with CNI)",
		install.Netavark: "the netavark plugin (Podman)",
		install.Service:  "the systemd service that repairs lost rules",
	}
	s.named = map[install.Part]*bool{}
	for _, part := range install.Parts {
		s.named[part] = c.Flags().Bool(string(part), false, about[part])
	}
	c.Flags().StringSliceVar(&s.engines, "runtime", nil, "mcpnet-runtime for these `engines`: "+engineList())
	_ = c.RegisterFlagCompletionFunc("runtime", cobra.FixedCompletions(strings.Split(engineList(), ", "), cobra.ShellCompDirectiveNoFileComp))
	c.Flags().BoolVar(&r.DryRun, "dry-run", false, "print what would be done, and change nothing")
	c.Flags().StringVar(&r.Root, "root", "/", "`directory` of the tree to work on")
	_ = c.MarkFlagDirname("root")
}

func (s *selection) parts() (parts []install.Part, err error) {
	for _, part := range install.Parts {
		if *s.named[part] {
			parts = append(parts, part)
		}
	}
	for _, name := range s.engines {
		if !slices.Contains(install.Engines, install.Part(name)) {
			return nil, usageError{fmt.Errorf("--runtime %s: accepted: %s%s", name, engineList(), meant(name))}
		}
		if !slices.Contains(parts, install.Part(name)) {
			parts = append(parts, install.Part(name))
		}
	}
	return parts, nil
}

func engineList() string {
	var names []string
	for _, e := range install.Engines {
		names = append(names, string(e))
	}
	return strings.Join(names, ", ")
}

func meant(name string) string {
	if near, ok := policy.Nearest(name, strings.Split(engineList(), ", ")); ok {
		return "; did you mean " + near + "?"
	}
	return ""
}

// conclude prints a result, or gives an error the exit status that it means.
func conclude(c *cobra.Command, o *options, r install.Result, err error) error {
	var usage install.UsageError
	switch {
	case errors.As(err, &usage):
		return usageError{err}
	case err != nil:
		return err
	case o.json:
		err = printJSON(c.OutOrStdout(), r)
	default:
		err = printActions(c, r)
	}
	if err == nil && !r.Complete() {
		return errDrift
	}
	return err
}

func printActions(c *cobra.Command, r install.Result) error {
	out := c.OutOrStdout()
	if len(r.Actions) == 0 {
		_, err := fmt.Fprintln(out, "Nothing to do: none of that was installed by mcpnet.")
		return err
	}
	if r.Root != "/" {
		fmt.Fprintf(out, "In %s:\n", r.Root)
	}
	for _, a := range r.Actions {
		line := a.Done()
		if r.DryRun {
			line = a.String()
		}
		if r.DryRun && a.Diff != "" {
			line += "\n" + strings.TrimSuffix(a.Diff, "\n")
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	for _, command := range r.Next {
		if _, err := fmt.Fprintf(out, "\nNext: %s\n", command); err != nil {
			return err
		}
	}
	return nil
}
