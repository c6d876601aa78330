package install

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/config"
	"github.com/mcpnet/mcpnet/internal/install/tree"
)

// place is a directory for a plugin, with the reason why it is one.
type place struct{ dir, why string }

// opt is upstream's directory of CNI plugins.
const opt = "/opt/cni/bin"

// cniDirs are where engines look for CNI plugins without a setting: upstream's, Fedora's and Debian's directories. One
// that is there is read by somebody.
var cniDirs = []string{opt, "/usr/local/libexec/cni", "/usr/libexec/cni", "/usr/local/lib/cni", "/usr/lib/cni"}

// cniTool is a program that runs CNI plugins.
type cniTool struct {
	program string
	// settings are the files that name its directories, as patterns, and named reads one of them.
	settings []string
	named    func(table map[string]any) []string
	// usual is the directory that it reads without a setting, where that is one only.
	usual string
}

// cniTools are those that examples/cni names. ctr takes no setting: it always reads containerd's usual directory.
var cniTools = []cniTool{
	{"containerd", []string{"/etc/containerd/config.toml", "/etc/containerd/conf.d/*.toml"}, containerdDirs, opt},
	{"ctr", nil, nil, opt},
	{"nerdctl", []string{"/etc/nerdctl/nerdctl.toml"}, listAt("cni_path"), opt},
	{"crio", []string{"/etc/crio/crio.conf", "/etc/crio/crio.conf.d/*.conf"}, listAt("crio", "network", "plugin_dirs"), opt},
	{"podman", []string{"/usr/share/containers/containers.conf", "/etc/containers/containers.conf",
		"/etc/containers/containers.conf.d/*.conf"}, listAt("network", "cni_plugin_dirs"), ""},
}

// programDirs are where programs are.
var programDirs = []string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"}

// containerdDirs are those of the CRI's settings, in the three forms that they have had.
func containerdDirs(table map[string]any) (dirs []string) {
	for _, plugin := range []string{"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"} {
		for _, key := range []string{"bin_dir", "bin_dirs"} {
			dirs = append(dirs, listAt("plugins", plugin, "cni", key)(table)...)
		}
	}
	return dirs
}

// listAt reads a list of directories, or one, at a path of keys.
func listAt(keys ...string) func(map[string]any) []string {
	above, key := keys[:len(keys)-1], keys[len(keys)-1]
	return func(table map[string]any) (dirs []string) {
		switch v := config.Below(table, above...)[key].(type) {
		case string:
			dirs = []string{v}
		case []any:
			for _, item := range v {
				if dir, ok := item.(string); ok {
					dirs = append(dirs, dir)
				}
			}
		}
		return slices.DeleteFunc(dirs, func(dir string) bool { return !filepath.IsAbs(dir) })
	}
}

// findCNI finds every directory that a tool of this host reads CNI plugins from: those that settings name, those of the
// tools that are installed, and those that are there.
func findCNI(t tree.Tree) (found []place, err error) {
	for _, tool := range cniTools {
		named, err := tool.places(t)
		if err != nil {
			return nil, err
		}
		found = append(found, named...)
	}
	for _, dir := range cniDirs {
		if t.Exists(dir) {
			found = append(found, place{dir, "it is there"})
		}
	}
	return found, nil
}

// places are a tool's directories. A setting takes the place of the usual one.
func (c cniTool) places(t tree.Tree) (found []place, err error) {
	installed := slices.ContainsFunc(programDirs, func(dir string) bool { return t.Exists(filepath.Join(dir, c.program)) })
	for _, pattern := range c.settings {
		files, err := t.ReadMatching(pattern, "")
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			table, err := config.ParseTOML(string(f.Text))
			if err != nil {
				return nil, fmt.Errorf("%s %w; or name the directory with --dir", f.Path, err)
			}
			for _, dir := range c.named(table) {
				found = append(found, place{filepath.Clean(dir), f.Path + " names it"})
			}
		}
	}
	if installed && len(found) == 0 && c.usual != "" {
		found = append(found, place{c.usual, c.program + " reads it"})
	}
	return found, nil
}

// distinct gives each directory once, with every reason, in the order of their names. One that is another by a symbolic
// link is left out.
func distinct(t tree.Tree, all []place) (out []place) {
	reasons := map[string][]string{}
	for _, p := range all {
		if !slices.Contains(reasons[p.dir], p.why) {
			reasons[p.dir] = append(reasons[p.dir], p.why)
		}
	}
	real := map[string]bool{}
	for dir, why := range reasons {
		out = append(out, place{dir, strings.Join(why, ", ")})
	}
	slices.SortFunc(out, func(a, b place) int { return cmp.Or(order(a.dir)-order(b.dir), strings.Compare(a.dir, b.dir)) })
	return slices.DeleteFunc(out, func(p place) bool {
		at := t.Real(p.dir)
		twice := real[at]
		real[at] = true
		return twice
	})
}

// order puts the usual directories first, in the order in which tools look.
func order(dir string) int {
	if i := slices.Index(cniDirs, dir); i >= 0 {
		return i
	}
	return len(cniDirs)
}
