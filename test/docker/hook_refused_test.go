package docker_test

import (
	"slices"
	"strings"
	"testing"
)

// checkRefused: the runtime refuses what leads a server past its network, and names it. The control: each of these
// containers starts without the runtime, on the same network.
func checkRefused(t *testing.T, l *lab, version string) {
	l.MustDocker("run", "-d", "--name", "outside", "--network", "bridge", "--ipc", "shareable", image, "sleep", "1000")
	l.MustDocker("volume", "create", "--opt", "type=proc", "--opt", "device=proc", "processes")
	l.MustDocker("volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", "device=/", "everything")
	l.MustDocker("volume", "create", "--opt", "type=overlay", "--opt", "device=overlay", "--opt", "o=lowerdir=/etc:/srv", "layers")
	for what, tt := range map[string]struct {
		args []string
		says string
	}{
		"another's processes":     {[]string{"--pid", "container:outside"}, "joins the pid namespace of process"},
		"another's shared memory": {[]string{"--ipc", "container:outside"}, "joins the ipc namespace of process"},
		"another's, as a user":    {[]string{"--user", "1000", "--pid", "container:outside"}, "joins the pid namespace of process"},
		"the host's processes":    {[]string{"--pid", "host"}, "shares the host's pid namespace"},
		"the host's names":        {[]string{"--uts", "host"}, "shares the host's uts namespace"},
		"open system paths":       {[]string{"--security-opt", "systempaths=unconfined"}, "has an open /proc/sys"},
		"the engine's socket":     {[]string{"-v", "/var/run/docker.sock:/engine"}, `mounts "/var/run/docker.sock" at "/engine": Docker's socket`},
		"the host's sockets":      {[]string{"-v", "/run:/host/run:ro"}, `mounts "/run" at "/host/run"`},
		"the host":                {[]string{"--mount", "type=bind,src=/,dst=/host"}, `all of the host's files`},
		"the host's proc":         {[]string{"-v", "/proc:/host/proc"}, "the host's processes"},
		"a volume of proc":        {[]string{"-v", "processes:/host/proc"}, "the host's processes"},
		"a volume of everything":  {[]string{"-v", "everything:/host"}, "all of the host's files"},
		"a volume of layers":      {[]string{"-v", "layers:/host/etc"}, "the host's configuration"},
		"a terminal":              {[]string{"--device", "/dev/console:/dev/null2"}, `device "/dev/null2"`},
	} {
		if _, err := l.Exec("test", "-c", "/dev/console"); err != nil && what == "a terminal" {
			continue
		}
		args := append([]string{"run", "--rm", "--network", "mcp-secure"}, tt.args...)
		if version == versions()[0] {
			if out, err := l.Docker(append(slices.Clone(args), image, "true")...); err != nil {
				t.Errorf("%s: does not start without the runtime either: this shows nothing: %v %s", what, err, out)
			}
		}
		out, err := l.Docker(append(args, "--runtime", "mcpnet", image, "true")...)
		if err == nil || !strings.Contains(err.Error()+out, strings.ReplaceAll(tt.says, `"`, `\"`)) && !strings.Contains(err.Error()+out, tt.says) {
			t.Errorf("%s: %v %s, want %q", what, err, out, tt.says)
		}
	}
	// What engines mount, and what users do that leads nowhere.
	l.MustDocker("volume", "create", "data")
	l.MustDocker("run", "--rm", "--runtime", "mcpnet", "--network", "mcp-secure", "--init", "-v", "data:/data", "-v", "/srv:/srv:ro",
		"--tmpfs", "/scratch", "-v", "/etc/hostname:/name:ro", "--device", "/dev/null:/dev/other", "--ipc", "shareable", image, "true")
}

// checkSockets: with Docker's own seccomp profile, or none, a server gets no socket that its network namespace does not
// confine.
func checkSockets(t *testing.T, l *lab, version string) {
	sockets := func(args ...string) string {
		return l.MustDocker(append(append([]string{"run", "--rm", "--network", "mcp-secure"}, args...), image, "sockets")...)
	}
	const vsock = "socket 40 ok"
	for _, profile := range []string{"", "seccomp=unconfined"} {
		var options []string
		if profile != "" {
			options = []string{"--security-opt", profile}
		}
		if plain := sockets(options...); !strings.Contains(plain, vsock) && (version == "20.10" || profile != "") {
			t.Errorf("%q: no vsock without the runtime: this shows nothing", profile)
		}
		for line := range strings.Lines(sockets(append(options, "--runtime", "mcpnet")...)) {
			f := strings.Fields(line)
			if confined := []string{"1", "2", "10", "16", "17"}; f[2] == "ok" && !slices.Contains(confined, f[1]) {
				t.Errorf("%q: %s", profile, line)
			}
		}
	}
}
