package oci

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/mcpnet/mcpnet/internal/admission"
)

// kernelTypes are file systems through which the kernel shows itself, and that engines mount into no container.
var kernelTypes = []string{"devtmpfs", "debugfs", "tracefs", "securityfs", "configfs", "bpf", "efivarfs", "pstore", "binfmt_misc"}

// reach tells what of the host a bundle's container would have beside its network: places among its mounts, devices,
// and files by which root reaches the kernel.
func (d *Document) reach() (problems []string, err error) {
	var root *specs.Root
	var mounts []specs.Mount
	for name, into := range map[string]any{"root": &root, "mounts": &mounts} {
		if err := d.root.get(name, into); err != nil {
			return nil, fmt.Errorf("%s: %w", d.path, err)
		}
	}
	table, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("the host's mounts: %w", err)
	}
	if reason, bad := d.wayOutOfRoot(root, table); bad {
		problems = append(problems, fmt.Sprintf("has the root file system %q: %s", root.Path, reason))
	}
	for _, m := range mounts {
		if reason, bad := wayOut(m, table); bad {
			problems = append(problems, fmt.Sprintf("mounts %q at %q: %s", m.Source, m.Destination, reason))
		}
	}
	more, err := d.reachKernel()
	return append(problems, more...), err
}

// reachKernel is what reach tells of devices, and of files by which root reaches the kernel. It reads only the members
// that it is about: the seccomp profile is most of the document.
func (d *Document) reachKernel() (problems []string, err error) {
	linux, err := d.linux()
	if err != nil || linux == nil {
		return nil, err
	}
	var devices []specs.LinuxDevice
	var resources struct {
		Devices []specs.LinuxDeviceCgroup `json:"devices"`
	}
	var masked, readonly []string
	err = errors.Join(linux.get("devices", &devices), linux.get("resources", &resources),
		linux.get("maskedPaths", &masked), linux.get("readonlyPaths", &readonly))
	if err != nil {
		return nil, fmt.Errorf("%s: linux: %w", d.path, err)
	}
	for _, dev := range devices {
		if reason, bad := wayOutOfDevice(dev); bad {
			problems = append(problems, fmt.Sprintf("has the device %q: %s", dev.Path, reason))
		}
	}
	problems = append(problems, wideRules(resources.Devices)...)
	if missing := admission.Unmasked(masked, readonly); len(missing) > 0 {
		problems = append(problems, "has an open "+strings.Join(missing, ", ")+", by which root reaches the host's kernel")
	}
	return problems, nil
}

// wayOut tells why a mount is a way past the container's network. The table is the host's mounts.
func wayOut(m specs.Mount, table []*mountinfo.Info) (reason string, bad bool) {
	destination := filepath.Clean(m.Destination)
	switch {
	case slices.Contains(kernelTypes, m.Type):
		return "the host's kernel shows itself there", true
	case m.Type == "proc" && destination != "/proc":
		return "its files are not masked there", true
	case isBind(m) && !filepath.IsAbs(m.Source):
		return "runtimes differ about where a relative source begins: write the whole path", true
	case m.Type == "sysfs" && !slices.Contains(m.Options, "ro"):
		return "the host's kernel settings, not read-only", true
	}
	shown := places{table: table}
	for _, source := range sourcesOf(m) {
		shown.add(source, slices.Contains(m.Options, "rro"))
	}
	shown.follow()
	if reason, bad := shown.wayOut(); bad {
		return reason, true
	}
	if shown.hidden {
		return "an overlay of " + admission.HiddenLayers + ", which does not tell what it shows of the host", true
	}
	return "", false
}

// isBind reports whether a mount shows files of the host's by their path (OCI runtime specification, config.md,
// "Mounts").
func isBind(m specs.Mount) bool {
	return m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}

// isReadOnly reports whether a mount may not be written, what is mounted below it left aside.
func isReadOnly(m specs.Mount) bool {
	reads := func(option string) bool { return option == "ro" || option == "rro" }
	return slices.ContainsFunc(m.Options, reads) && !slices.Contains(m.Options, "rw")
}

// wayOutOfRoot tells why a root file system is a way past the container's network: it is a place of the host, and none
// that an engine made. Its layers are taken by their names: an engine gives dozens, and they are no user's choice.
func (d *Document) wayOutOfRoot(root *specs.Root, table []*mountinfo.Info) (reason string, bad bool) {
	if root == nil {
		return "", false // the runtime refuses it
	}
	at := root.Path
	if !filepath.IsAbs(at) {
		at = filepath.Join(d.bundle, at)
	}
	if whole, err := filepath.Abs(at); err == nil {
		at = whole
	}
	shown := places{table: table}
	shown.add(admission.Mount{Source: at, ReadOnly: root.Readonly}, false)
	shown.names = append(shown.names, shown.layers...)
	return shown.wayOut()
}

// sourcesOf are the paths of the host that a mount shows. The source of one that is no bind mount is most often a name.
func sourcesOf(m specs.Mount) (sources []admission.Mount) {
	if strings.Contains(m.Source, "/") {
		sources = append(sources, admission.Mount{Source: filepath.Join("/", m.Source), ReadOnly: isReadOnly(m)})
	}
	return append(sources, admission.Layers(m.Options)...)
}

// places are the paths that places of the host have.
type places struct {
	table  []*mountinfo.Info
	names  []admission.Mount
	layers []admission.Mount // directories that overlays among them show
	hidden bool              // a part has a path that nothing tells
}

// wayOut tells why one of the paths is a way past a container's network.
func (p *places) wayOut() (reason string, bad bool) {
	for _, name := range p.names {
		if reason, bad := name.WayOut(); bad {
			return reason, true
		}
	}
	return "", false
}

// follow adds the paths of the layers, and of the layers of those.
func (p *places) follow() {
	for len(p.layers) > 0 {
		layer := p.layers[0]
		p.layers = p.layers[1:]
		p.add(layer, layer.ReadOnly)
	}
}

// add adds the paths of a place: through links, through its own mount and others of the same file system, and those of
// what is mounted below it. What is mounted below it is read-only where that is said.
func (p *places) add(source admission.Mount, below bool) {
	if slices.Contains(p.names, source) {
		return
	}
	p.names = append(p.names, source)
	real, err := filepath.EvalSymlinks(source.Source)
	if err != nil {
		return // the runtime does not find it either
	}
	if at := holder(real, p.table); at != nil {
		p.addPlace(at, filepath.Join(at.Root, rest(real, at.Mountpoint)), source.ReadOnly)
	}
	for _, m := range p.table {
		if m.Mountpoint != real && within(m.Mountpoint, real) {
			p.addPlace(m, m.Root, below)
		}
	}
}

// addPlace adds the paths of a place of a mount's file system, which is a path from that one's own root.
func (p *places) addPlace(m *mountinfo.Info, place string, readOnly bool) {
	for _, name := range elsewhere(m, place, p.table) {
		p.names = append(p.names, admission.Mount{Source: name, ReadOnly: readOnly})
	}
	if m.FSType == admission.HiddenLayers {
		p.hidden = true
	}
	for _, layer := range admission.LayersOf(m.FSType, m.Source, m.VFSOptions) {
		layer.Source, layer.ReadOnly = filepath.Join(layer.Source, place), layer.ReadOnly || readOnly
		p.layers = append(p.layers, layer)
	}
}

// holder is the mount that a path lies in: the last one of the longest mount point.
func holder(path string, table []*mountinfo.Info) (found *mountinfo.Info) {
	for _, m := range table {
		if within(path, m.Mountpoint) && (found == nil || len(m.Mountpoint) >= len(found.Mountpoint)) {
			found = m
		}
	}
	return found
}

// elsewhere are the paths of a place of a mount's file system, which is a path from that one's own root.
func elsewhere(m *mountinfo.Info, place string, table []*mountinfo.Info) (names []string) {
	if usual, ok := admission.KernelPlaces[m.FSType]; ok {
		names = append(names, filepath.Join(usual, place))
	}
	for _, other := range table {
		if other.Major == m.Major && other.Minor == m.Minor && within(place, other.Root) {
			names = append(names, filepath.Join(other.Mountpoint, rest(place, other.Root)))
		}
	}
	return names
}

// within reports whether a path is a directory or lies below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func rest(path, dir string) string { return strings.TrimPrefix(path, strings.TrimSuffix(dir, "/")) }

// wayOutOfDevice tells why a device is a way past the container's network. It goes by the name that the device has on
// the host: its path is that in the container, which users choose.
func wayOutOfDevice(dev specs.LinuxDevice) (reason string, bad bool) {
	kind := kindOf(dev.Type)
	if kind == pipe {
		return "", false
	}
	if reason, bad := admission.WayOutOfDeviceRule(fmt.Sprintf("%s %d:%d rwm", kind, dev.Major, dev.Minor)); bad {
		return reason, true
	}
	return admission.WayOutOfDevice(filepath.Join("/dev", deviceName(dev.Major, dev.Minor)))
}

// The kinds of devices, as rules name them.
const (
	block     = "b"
	character = "c"
	pipe      = "p"
	all       = "a"
)

// kindOf is the kind of a device by its type: crun looks at the first letter, and makes character devices of all but
// two.
func kindOf(kind string) string {
	for _, known := range []string{block, pipe, all} {
		if strings.HasPrefix(kind, known) {
			return known
		}
	}
	return character
}

// deviceName is the name below /dev that the kernel gives a character device, or one that says nothing.
func deviceName(major, minor int64) string {
	numbers := fmt.Sprintf("%d:%d", major, minor)
	if name := kernelsName(filepath.Join(charDevices, numbers)); name != "" {
		return name
	}
	return "char/" + numbers
}

// charDevices is where the kernel shows the host's character devices by their numbers. A test has others.
var charDevices = "/sys/dev/char"

// kernelsName is the name below /dev of the device at a path of charDevices.
func kernelsName(at string) string {
	text, err := os.ReadFile(filepath.Join(at, "uevent"))
	for line := range bytes.Lines(text) {
		if name, ok := bytes.CutPrefix(line, []byte("DEVNAME=")); ok && err == nil {
			return string(bytes.TrimSpace(name))
		}
	}
	return ""
}

// wideRules are the rules of the device cgroup that permit to use a device which is a way out, whoever makes its node.
func wideRules(rules []specs.LinuxDeviceCgroup) (problems []string) {
	for _, r := range rules {
		if !r.Allow || !strings.ContainsAny(r.Access, "rw") {
			continue // that a node may be made harms nobody: engines permit it for all
		}
		rule := fmt.Sprintf("%s %s:%s %s", ruleKind(r), number(r.Major), number(r.Minor), r.Access)
		reason, bad := admission.WayOutOfDeviceRule(rule)
		if !bad && ruleKind(r) == character {
			reason, bad = wayOutOfNamed(number(r.Major), number(r.Minor))
		}
		if bad {
			problems = append(problems, fmt.Sprintf("may use the devices %q: %s", rule, reason))
		}
	}
	return problems
}

// terminals is the major number of the devices that stand for the terminal of whoever opens them, and of the host's
// console, which engines permit to all as well.
const terminals = "5"

// wayOutOfNamed tells why one of the host's character devices that have these numbers is a way out by its name: many
// have other numbers on each host.
func wayOutOfNamed(major, minor string) (reason string, bad bool) {
	if major == terminals {
		return "", false
	}
	found, _ := filepath.Glob(filepath.Join(charDevices, major+":"+minor)) // it is no pattern that could be wrong
	for _, at := range found {
		if name := kernelsName(at); name != "" {
			if reason, bad := admission.WayOutOfDevice(filepath.Join("/dev", name)); bad {
				return reason + " (/dev/" + name + ")", true
			}
		}
	}
	return "", false
}

func ruleKind(r specs.LinuxDeviceCgroup) string {
	if r.Type == "" {
		return all
	}
	return kindOf(r.Type)
}

func number(n *int64) string {
	if n == nil || *n < 0 {
		return "*"
	}
	return fmt.Sprint(*n)
}
