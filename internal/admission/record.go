package admission

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// Record is what a user asked a Docker engine for (HostConfig of its API).
type Record struct {
	Privileged      bool
	CapAdd, CapDrop []string
	SecurityOpt     []string
	PID, IPC, UTS   string // modes; "host" is the host's namespace
	// MaskedPaths and ReadonlyPaths are what the container does not see or write of /proc and /sys; nil is what Docker
	// hides by default.
	MaskedPaths, ReadonlyPaths []string
	// Mounts are those of the host's files.
	Mounts []Mount
	// Devices are paths of the host, and DeviceRules those of the device cgroup.
	Devices, DeviceRules []string
}

// joins begins a mode that names another container, whose namespace is joined.
const joins = "container:"

// engineDefaults are what Docker gives a container that asks for nothing (moby, oci/caps/defaults.go).
var engineDefaults = capsOf("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
	"NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE")

// capsOf reads names as Docker does; one that it does not know stands for all.
func capsOf(names ...string) (all policy.Caps) {
	for _, name := range names {
		c, ok := policy.Cap(name)
		if !ok {
			c = policy.AllCaps
		}
		all |= c
	}
	return all
}

// Caps is what the engine gives the container (moby, oci/caps/utils.go, TweakCapabilities).
func (r Record) Caps() policy.Caps {
	isAll := func(name string) bool { return strings.EqualFold(name, "ALL") }
	switch {
	case r.Privileged:
		return policy.AllCaps
	case slices.ContainsFunc(r.CapDrop, isAll):
		return capsOf(r.CapAdd...)
	case slices.ContainsFunc(r.CapAdd, isAll):
		return policy.AllCaps.Minus(capsOf(r.CapDrop...))
	}
	return engineDefaults.Minus(knownOf(r.CapDrop)) | capsOf(r.CapAdd...)
}

// knownOf reads names of which one that is not known drops nothing.
func knownOf(names []string) (all policy.Caps) {
	for _, name := range names {
		c, _ := policy.Cap(name)
		all |= c
	}
	return all
}

// sealed reports whether the container's processes can gain no privileges. The last of several options counts, as in
// Docker.
func (r Record) sealed() (sealed bool) {
	for _, o := range r.SecurityOpt {
		name, value, valued := strings.Cut(strings.Replace(o, "=", ":", 1), ":")
		if name != "no-new-privileges" {
			continue
		}
		said, err := strconv.ParseBool(value)
		sealed = !valued || (err == nil && said)
	}
	return sealed
}

// doors are the ways out that the record shows beside capabilities.
func (r Record) doors() (out []Problem) {
	if r.Privileged {
		out = append(out, wayOut("is privileged (drop --privileged)"))
	}
	for _, n := range []struct{ flag, mode string }{{"--ipc", r.IPC}, {"--pid", r.PID}, {"--uts", r.UTS}} {
		if n.mode == "host" || strings.HasPrefix(n.mode, joins) {
			out = append(out, wayOut(fmt.Sprintf("shares a namespace of the host or of another container (drop %s %.22s)", n.flag, n.mode)))
		}
	}
	if missing := r.unmasked(); len(missing) > 0 {
		out = append(out, wayOut("has "+strings.Join(missing, ", ")+" unprotected (drop --security-opt systempaths=unconfined)"))
	}
	out = append(out, Mounts(r.Mounts)...)
	for _, device := range r.Devices {
		if why, bad := WayOutOfDevice(device); bad {
			out = append(out, wayOut(fmt.Sprintf("may use %q: %s (drop --device)", device, why)))
		}
	}
	for _, rule := range r.DeviceRules {
		if why, bad := WayOutOfDeviceRule(rule); bad {
			out = append(out, wayOut(fmt.Sprintf("may use devices %q: %s (drop --device-cgroup-rule)", rule, why)))
		}
	}
	return out
}

// unmasked are the places of the kernel that the container may use.
func (r Record) unmasked() []string {
	masked, readonly := r.MaskedPaths, r.ReadonlyPaths
	if masked == nil {
		masked = maskedPaths
	}
	if readonly == nil {
		readonly = readonlyPaths
	}
	if r.Privileged {
		return nil // said already
	}
	return Unmasked(masked, readonly)
}

// privileges are the capabilities that the container holds or may gain beyond what is allowed.
func (r Record) privileges(allowed policy.Caps) (out []Problem) {
	if r.Privileged {
		return nil // said already
	}
	more := r.Caps().Minus(allowed)
	if escapes := escaping(more); escapes != 0 {
		out = append(out, wayOut("holds "+shown(escapes)+", a way out of every network"))
	}
	if harmless := more.Minus(escaping(more)); harmless != 0 {
		out = append(out, excess(fmt.Sprintf("holds %s beyond mcpnet.caps=%s", harmless, allowed)))
	}
	if !r.sealed() {
		out = append(out, excess("may gain privileges"))
	}
	if len(out) > 0 {
		out[len(out)-1].Text += remedyFor(allowed)
	}
	return out
}

// remedyFor names the options by which a container conforms.
func remedyFor(allowed policy.Caps) string {
	add := ""
	for _, name := range allowed.Names() {
		add += " --cap-add " + strings.TrimPrefix(name, "CAP_")
	}
	return " (start it with --runtime mcpnet, or with --cap-drop ALL" + add + " --security-opt no-new-privileges)"
}
