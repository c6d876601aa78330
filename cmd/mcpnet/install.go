package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mcpnet/mcpnet/internal/install"
)

func newInstall(o *options) *cobra.Command {
	r := install.Request{}
	var s selection
	c := &cobra.Command{
		Use:   "install (--cni | --netavark | --service | --runtime ENGINE)...",
		Short: "Put the CNI plugin, the netavark plugin, the service or the OCI runtime in place",
		Long: `Put in place what container engines need beside Docker's plugin, print what was done, and start nothing.

  --cni       for containerd, nerdctl, CRI-O and Podman 4 with CNI: the plugin, as mcpnet, into every directory of CNI
              plugins that a tool of this host reads (what their settings name, /opt/cni/bin for containerd, ctr,
              nerdctl and CRI-O, and the usual ones that are there), or into a new /opt/cni/bin
  --netavark  for Podman: the plugin, as mcpnet, into netavark's first plugin directory that is there, or into a new
              /usr/local/libexec/netavark
  --service   mcpnet-plugin and a systemd unit. Networks work without it; with it, rules that a firewall reload takes
              away are back in milliseconds. The command that starts it is printed
  --runtime   mcpnet-runtime, the OCI runtime that takes capabilities from containers, and its names in the
              configuration of docker, containerd, crio or podman: "mcpnet" for the containers that ask for it,
              "mcpnet-default" which acts on containers on mcpnet networks only. --set-default makes that one the
              engine's default runtime. --hooks adds Podman's hooks, which do the same without another runtime

Of configuration files that are not mcpnet's (daemon.json, config.toml) only mcpnet's part is written, all else stays
as it is; --dry-run shows each change as a diff. The command that has the engine read it anew is printed.

The programs are taken from beside this command, from ../libexec/mcpnet, or from --binary. Doing it once more brings
files up to date; those that are the same already are only counted. A file that mcpnet did not write, or that was
changed since, is not overwritten without --force.
All is done or nothing. ` + "`mcpnet uninstall`" + ` undoes it: /var/lib/mcpnet/install.json records what is mcpnet's.

Docker's plugin is another matter: it is made with ` + "`make plugin`" + `.
Exit status: 0 everything is in place, 1 refused because of a file that is there, 2 wrong usage, 3 it failed.`,
		Example: `  mcpnet install --cni --dry-run           # what would be done, and where
  mcpnet install --cni --service
  mcpnet install --netavark && podman network create -d mcpnet --subnet 172.20.0.0/16 \
    -o mcpnet.gateway=172.20.0.100:8080 mcp-secure
  mcpnet install --cni --dir /srv/cni/bin --binary build/mcpnet-cni
  mcpnet install --cni --service --root /mnt/image    # into the tree of an image
  mcpnet install --runtime docker --dry-run           # a diff of /etc/docker/daemon.json
  mcpnet install --runtime docker && systemctl reload docker && docker run --runtime mcpnet ...
  mcpnet install --runtime containerd,crio --set-default
  mcpnet install --runtime podman --hooks`,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			r.Parts, r.Engines = s.parts(), s.engines()
			if r.Executable, err = os.Executable(); err != nil {
				return err
			}
			result, err := install.Install(r)
			return conclude(c, o, result, err)
		},
	}
	s.flags(c, &r)
	c.Flags().StringVar(&r.Dir, "dir", "", "`directory` for the CNI or the netavark plugin instead of those in use")
	c.Flags().StringVar(&r.Binary, "binary", "",
		"`path` of mcpnet-cni, mcpnet-plugin or mcpnet-runtime, or of the directory that holds them")
	c.Flags().BoolVar(&r.Force, "force", false,
		"overwrite files that mcpnet did not write, or that were changed, and a runtime mcpnet of somebody else's")
	c.Flags().BoolVar(&r.SetDefault, "set-default", false,
		"make mcpnet-default the default runtime of the engines of --runtime")
	c.Flags().BoolVar(&r.Hooks, "hooks", false, "install Podman's hooks, too (with --runtime podman)")
	_ = c.MarkFlagDirname("dir")
	return c
}

// selection is which parts and engines a command is about.
type selection struct {
	part     map[install.Part]*bool
	runtimes []string
}

func (s *selection) flags(c *cobra.Command, r *install.Request) {
	about := map[install.Part]string{
		install.CNI:      "the CNI plugin (containerd, nerdctl, CRI-O, Podman with CNI)",
		install.Netavark: "the netavark plugin (Podman)",
		install.Service:  "the systemd service that repairs lost rules",
	}
	s.part = map[install.Part]*bool{}
	for _, part := range install.Parts {
		s.part[part] = c.Flags().Bool(string(part), false, about[part])
	}
	c.Flags().StringSliceVar(&s.runtimes, "runtime", nil,
		"the OCI runtime, for `engines`: docker, containerd, crio, podman")
	_ = c.RegisterFlagCompletionFunc("runtime", completeEngines)
	c.Flags().BoolVar(&r.DryRun, "dry-run", false,
		"print what would be done, with a diff of every configuration file, and change nothing")
	c.Flags().StringVar(&r.Root, "root", "/", "`directory` of the tree to work on")
	_ = c.MarkFlagDirname("root")
}

func (s *selection) parts() []install.Part {
	var parts []install.Part
	for _, part := range install.Parts {
		if *s.part[part] {
			parts = append(parts, part)
		}
	}
	return parts
}

// engines are those named, each once; the package install says which it knows.
func (s *selection) engines() []install.Engine {
	var engines []install.Engine
	for _, name := range s.runtimes {
		if e := install.Engine(name); !slices.Contains(engines, e) {
			engines = append(engines, e)
		}
	}
	return engines
}

// completeEngines completes the last item of a list of engines.
func completeEngines(_ *cobra.Command, _ []string, typed string) (
	all []cobra.Completion, how cobra.ShellCompDirective,
) {
	list := typed[:strings.LastIndexByte(typed, ',')+1]
	for _, e := range install.Engines {
		full := list + string(e)
		if strings.HasPrefix(full, typed) && !slices.Contains(strings.Split(list, ","), string(e)) {
			all = append(all, full)
		}
	}
	return all, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
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
	if r.Unchanged() {
		_, err := fmt.Fprintf(out, "Nothing changed: what is there is the same (%s).\n", count(len(r.Actions)))
		return err
	}
	if r.Root != "/" {
		fmt.Fprintf(out, "In %s:\n", r.Root)
	}
	if err := printChanges(out, r); err != nil {
		return err
	}
	for _, command := range r.Next {
		if _, err := fmt.Fprintf(out, "\nNext: %s\n", command); err != nil {
			return err
		}
	}
	return nil
}

// printChanges prints a line for each action, and one line for all files that are as they should be already: what
// somebody reads the output for is what changes.
func printChanges(out io.Writer, r install.Result) error {
	unchanged := 0
	for _, a := range r.Actions {
		if a.Verb == install.Unchanged && a.Reason == "" {
			unchanged++
			continue
		}
		if _, err := fmt.Fprintln(out, describe(a, r.DryRun)); err != nil {
			return err
		}
	}
	if unchanged == 0 {
		return nil
	}
	_, err := fmt.Fprintf(out, "unchanged: %s\n", count(unchanged))
	return err
}

func count(files int) string {
	if files == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", files)
}

// describe is the line of an action. Before it is done, the difference that it makes follows.
func describe(a install.Action, dryRun bool) string {
	if !dryRun {
		return a.Done()
	}
	if a.Diff == "" {
		return a.String()
	}
	return a.String() + "\n" + strings.TrimSuffix(a.Diff, "\n")
}
