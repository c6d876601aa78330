package procfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpnet/mcpnet/internal/admission"
)

// mount is a line of a mount table (proc_pid_mountinfo(5)).
type mount struct {
	device, root string // what is mounted: a directory of a file system
	point        string // where
	kind, source string // of the file system
	flags        string // of the mount
	options      string // of the file system, as the kernel escapes them
}

// MountsOf gives what of the host is mounted where a process is; ok is false for one that has ended. Whether
// it may write the kernel's settings says nothing: the first process of a pod may, and holds nothing.
func MountsOf(pid int) (mounts []admission.Mount, ok bool, err error) {
	own, err := table(strconv.Itoa(pid))
	if ended(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	hosts, err := table(strconv.Itoa(first))
	if errors.Is(err, fs.ErrPermission) {
		hosts, err = table("self")
	}
	return sources(own, hosts), err == nil, err
}

func table(process string) (mounts []mount, err error) {
	text, err := os.ReadFile(filepath.Join(root, process, "mountinfo"))
	if err != nil {
		return nil, err
	}
	return parseMounts(string(text)), nil
}

// unescape undoes what the kernel does to paths.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func parseMounts(text string) (out []mount) {
	for line := range strings.Lines(text) {
		before, after, _ := strings.Cut(line, " - ")
		fields, system := strings.Fields(before), strings.Fields(after)
		if len(fields) < 6 || len(system) < 3 {
			continue
		}
		out = append(out, mount{device: fields[2], root: unescape.Replace(fields[3]), point: unescape.Replace(fields[4]),
			kind: system[0], source: unescape.Replace(system[1]), flags: fields[5], options: system[len(system)-1]})
	}
	return out
}

// sources are a container's mounts by the paths that they have on the host, layers of overlays included. One whose file
// system is not mounted there has none, and every container has the hierarchy of control groups.
func sources(own, hosts []mount) (out []admission.Mount) {
	for _, m := range own {
		if strings.HasPrefix(m.kind, "cgroup") {
			continue
		}
		readOnly := slices.Contains(strings.Split(m.flags, ","), "ro")
		for _, layer := range admission.LayersOf(m.kind, m.source, m.options) {
			layer.Source, layer.ReadOnly = path.Join(layer.Source, m.root), layer.ReadOnly || readOnly
			out = append(out, layer)
		}
		for _, h := range hosts {
			below, ok := under(m.root, h.root)
			if !ok || h.device != m.device {
				continue
			}
			if found := (admission.Mount{Source: path.Join(h.point, below), ReadOnly: readOnly}); !slices.Contains(out, found) {
				out = append(out, found)
			}
		}
	}
	return out
}

// under gives the rest of a path below a directory.
func under(p, dir string) (rest string, ok bool) {
	if dir == "/" {
		return p, true
	}
	rest, ok = strings.CutPrefix(p, dir)
	return rest, ok && (rest == "" || rest[0] == '/')
}
