package install

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

func TestPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		there []string
		dir   string
		part  Part
		want  []string
	}{
		"nothing":                {nil, "", CNI, []string{"/opt/cni/bin/mcpnet"}},
		"no reference plugin":    {[]string{"/usr/lib/cni/other"}, "", CNI, []string{"/usr/lib/cni/mcpnet"}},
		"another one of podman":  {[]string{"/usr/lib/cni/bridge", "/usr/bin/podman"}, "", CNI, []string{"/usr/lib/cni/mcpnet"}},
		"ctr and Debian's":       {[]string{"/usr/lib/cni/bridge", "/usr/bin/ctr"}, "", CNI, []string{"/opt/cni/bin/mcpnet", "/usr/lib/cni/mcpnet"}},
		"crio":                   {[]string{"/usr/libexec/cni/bridge", "/usr/local/bin/crio"}, "", CNI, []string{"/opt/cni/bin/mcpnet", "/usr/libexec/cni/mcpnet"}},
		"one":                    {[]string{"/usr/lib/cni/loopback"}, "", CNI, []string{"/usr/lib/cni/mcpnet"}},
		"two":                    {[]string{"/usr/lib/cni/bridge", "/opt/cni/bin/host-local"}, "", CNI, []string{"/opt/cni/bin/mcpnet", "/usr/lib/cni/mcpnet"}},
		"the user's":             {[]string{"/usr/lib/cni/bridge"}, "/srv/cni", CNI, []string{"/srv/cni/mcpnet"}},
		"no netavark":            {nil, "", Netavark, []string{"/usr/local/libexec/netavark/mcpnet"}},
		"first of netavark's":    {[]string{"/usr/lib/netavark/x", "/usr/libexec/netavark/x"}, "", Netavark, []string{"/usr/libexec/netavark/mcpnet"}},
		"the user's of netavark": {[]string{"/usr/lib/netavark/x"}, "/srv/netavark", Netavark, []string{"/srv/netavark/mcpnet"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, c.part)
			r.Dir = c.dir
			for _, path := range c.there {
				write(t, filepath.Join(r.Root, path), "", 0o755)
			}
			var got []string
			for _, a := range mustInstall(t, r).Actions {
				if a.Verb == action.Write {
					got = append(got, a.Path)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// TestPlacesByLink: a directory that is another one by a link gets no second copy.
func TestPlacesByLink(t *testing.T) {
	r := request(t, CNI)
	write(t, filepath.Join(r.Root, "usr/libexec/cni/bridge"), "", 0o755)
	check(t, os.MkdirAll(filepath.Join(r.Root, "usr/lib"), 0o755))
	check(t, os.Symlink("../libexec/cni", filepath.Join(r.Root, "usr/lib/cni")))
	if got := verbsOf(mustInstall(t, r)); got["/usr/libexec/cni/mcpnet"] != action.Write || got["/usr/lib/cni/mcpnet"] != "" {
		t.Errorf("%v", got)
	}
}

// TestOlderPlaceIsBroughtUpToDate: where plugins were installed before, no older version stays behind.
func TestOlderPlaceIsBroughtUpToDate(t *testing.T) {
	r := request(t, CNI)
	mustInstall(t, r)
	write(t, filepath.Join(r.Root, "usr/lib/cni/bridge"), "", 0o755)
	write(t, filepath.Join(r.Binary, part.CNIProgram), "cni 2", 0o755)
	got := verbsOf(mustInstall(t, r))
	if got["/usr/lib/cni/mcpnet"] != action.Write || got["/opt/cni/bin/mcpnet"] != action.Replace {
		t.Errorf("%v", got)
	}
}

// TestInPlace: what `make install-host` put where the service wants it is not mcpnet's to remove.
func TestInPlace(t *testing.T) {
	r := request(t, Service)
	own := filepath.Join(r.Root, part.ServicePath)
	write(t, own, "made", 0o755)
	r.Binary, r.Executable = "", filepath.Join(r.Root, "usr/local/bin/mcpnet")
	if got := verbsOf(mustInstall(t, r)); got[part.ServicePath] != Unchanged || got[part.UnitPath] != action.Write {
		t.Errorf("%v", got)
	}
	_, err := Uninstall(r)
	check(t, err)
	if left := contents(t, r.Root); left[part.ServicePath] != "-rwxr-xr-x made" || left[part.UnitPath] != "" {
		t.Errorf("%v", left)
	}
}

// TestPlacesOfSettings: what a tool's settings name takes the place of its usual directory, and the output says why.
func TestPlacesOfSettings(t *testing.T) {
	for name, c := range map[string]struct {
		program, path, text string
		want                map[string]string
	}{
		"containerd 1": {"containerd", "/etc/containerd/config.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = \"/srv/cni\"\n",
			map[string]string{"/srv/cni/mcpnet": "/etc/containerd/config.toml names it"}},
		"containerd 2": {"containerd", "/etc/containerd/config.toml", "version = 3\n[plugins.\"io.containerd.cri.v1.runtime\".cni]\nbin_dirs = [\"/a/cni\", \"/b/cni\"]\n",
			map[string]string{"/a/cni/mcpnet": "/etc/containerd/config.toml names it", "/b/cni/mcpnet": "/etc/containerd/config.toml names it"}},
		"no setting of it": {"containerd", "/etc/containerd/config.toml", "version = 3\n",
			map[string]string{"/opt/cni/bin/mcpnet": "containerd reads it"}},
		"nerdctl": {"nerdctl", "/etc/nerdctl/nerdctl.toml", "cni_path = \"/srv/nerdctl\"\n",
			map[string]string{"/srv/nerdctl/mcpnet": "/etc/nerdctl/nerdctl.toml names it"}},
		"CRI-O": {"crio", "/etc/crio/crio.conf.d/10-x.conf", "[crio.network]\nplugin_dirs = [\"/srv/crio/\", \"\"]\n",
			map[string]string{"/srv/crio/mcpnet": "/etc/crio/crio.conf.d/10-x.conf names it"}},
		"Podman": {"podman", "/etc/containers/containers.conf", "[network]\ncni_plugin_dirs = [\"/srv/podman\"]\n",
			map[string]string{"/srv/podman/mcpnet": "/etc/containers/containers.conf names it"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, CNI)
			write(t, filepath.Join(r.Root, "usr/bin", c.program), "", 0o755)
			write(t, filepath.Join(r.Root, c.path), c.text, 0o644)
			got := map[string]string{}
			for _, a := range mustInstall(t, r).Actions {
				if a.Verb == action.Write {
					got[a.Path] = a.Why
				}
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// TestPlacesOfBrokenSettings: where nobody can say which directories a tool reads, nothing is installed.
func TestPlacesOfBrokenSettings(t *testing.T) {
	r := request(t, CNI)
	write(t, filepath.Join(r.Root, "etc/nerdctl/nerdctl.toml"), "cni_path = ", 0o644)
	if _, err := Install(r); err == nil || !strings.Contains(err.Error(), "/etc/nerdctl/nerdctl.toml is not valid TOML") || !strings.Contains(err.Error(), "--dir") {
		t.Errorf("%v", err)
	}
	r.Dir = "/srv/cni"
	mustInstall(t, r)
}
