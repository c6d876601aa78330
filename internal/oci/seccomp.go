package oci

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// confined are the socket families that a network namespace confines, and that programs use. Of the others some know no
// network namespace, on all kernels (AF_QIPCRTR) or on most (AF_VSOCK): a socket of theirs reaches whoever has one, in
// any container and on the host.
var confined = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET}

var (
	// familyCalls make a socket of the family in their first argument.
	familyCalls = []string{"socket", "socketpair"}
	// hiddenCalls make a socket of a family that no filter can see: socketcall(2) of 32-bit x86 has it behind a pointer,
	// and io_uring in a ring.
	hiddenCalls = []string{"socketcall", "io_uring_setup", "io_uring_enter", "io_uring_register"}
)

// refusing are the actions by which a call does not take place.
var refusing = []specs.LinuxSeccompAction{specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno}

// confineSockets has the bundle's seccomp profile let its processes make sockets of the confined families alone. What
// the profile refuses beyond that it goes on refusing. A bundle without a profile gets one that refuses nothing else.
func (d *Document) confineSockets() error {
	linux, err := d.linux()
	if err != nil {
		return err
	}
	if linux == nil {
		linux = object{}
	}
	profile, err := linux.child("seccomp")
	if err != nil {
		return fmt.Errorf("linux: %w", err)
	}
	if profile == nil {
		profile = object{}
		err = profile.put("defaultAction", specs.ActAllow)
		if archs := architectures[runtime.GOARCH]; err == nil && archs != nil {
			err = profile.put("architectures", archs)
		}
	}
	if err == nil {
		err = profile.confine()
	}
	if err == nil {
		err = linux.put("seccomp", profile)
	}
	if err != nil {
		return fmt.Errorf("linux: seccomp: %w", err)
	}
	return d.putLinux(linux)
}

// architectures are those whose programs run beside the machine's own. A filter kills what is of none that it names.
var architectures = map[string][]specs.Arch{
	"amd64": {specs.ArchX86_64, specs.ArchX86, specs.ArchX32}, "arm64": {specs.ArchAARCH64, specs.ArchARM},
}

// confine changes the rules of a profile. An unconditional rule of a call counts for more than rules about its
// arguments (seccomp_rule_add(3)), so the rules that let a family call through are replaced.
func (profile object) confine() error {
	var fallback specs.LinuxSeccompAction
	var errno *uint
	var rules []json.RawMessage
	for name, into := range map[string]any{"defaultAction": &fallback, "defaultErrnoRet": &errno, "syscalls": &rules} {
		if err := profile.get(name, into); err != nil {
			return err
		}
	}
	// First, so that libseccomp leaves alone what it makes for socketcall of the rules for socket: those contradict each
	// other, which it refuses.
	confining, err := encode([]specs.LinuxSyscall{refuseHidden(errno)})
	if err != nil {
		return err
	}
	var families []specs.LinuxSyscall
	for _, raw := range rules {
		rest, narrowed, err := narrow(raw)
		if err != nil {
			return fmt.Errorf("syscalls: %w", err)
		}
		confining = append(confining, rest...)
		for _, rule := range narrowed {
			if !slices.ContainsFunc(families, func(r specs.LinuxSyscall) bool { return reflect.DeepEqual(r, rule) }) {
				families = append(families, rule)
			}
		}
	}
	if !slices.Contains(refusing, fallback) {
		families = append(families, refuseOthers()...)
	}
	encoded, err := encode(families)
	if err != nil {
		return err
	}
	return profile.put("syscalls", append(confining, encoded...))
}

func encode(rules []specs.LinuxSyscall) (out []json.RawMessage, err error) {
	for _, rule := range rules {
		raw, err := json.Marshal(rule)
		if err != nil {
			return nil, err
		}
		out = append(out, raw)
	}
	return out, nil
}

// narrow takes the calls that make sockets out of a rule that lets them through. rest is what is left of the rule, and
// narrowed lets the same calls through for the confined families.
func narrow(raw json.RawMessage) (rest []json.RawMessage, narrowed []specs.LinuxSyscall, err error) {
	var rule specs.LinuxSyscall
	if err := json.Unmarshal(raw, &rule); err != nil {
		return nil, nil, err
	}
	var others, family []string
	for _, name := range rule.Names {
		switch {
		case slices.Contains(familyCalls, name):
			family = append(family, name)
		case !slices.Contains(hiddenCalls, name):
			others = append(others, name)
		}
	}
	if slices.Contains(refusing, rule.Action) || len(others) == len(rule.Names) {
		return []json.RawMessage{raw}, nil, nil
	}
	if len(others) > 0 {
		if raw, err = renamed(raw, others); err != nil {
			return nil, nil, err
		}
		rest = append(rest, raw)
	}
	if len(family) == 0 {
		return rest, nil, nil
	}
	rule.Names = family
	return rest, perFamily(rule), nil
}

// renamed is a rule for other calls.
func renamed(raw json.RawMessage, names []string) (json.RawMessage, error) {
	var rule object
	err := json.Unmarshal(raw, &rule)
	if err == nil {
		err = rule.put("names", names)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(rule)
}

// perFamily is a rule for each confined family that a rule lets through.
func perFamily(rule specs.LinuxSyscall) (out []specs.LinuxSyscall) {
	for _, conditions := range alternatives(rule.Args) {
		for _, family := range confined {
			one := rule
			one.Args = []specs.LinuxSeccompArg{{Index: 0, Value: family, Op: specs.OpEqualTo}}
			fits := true
			for _, c := range conditions {
				if c.Index == 0 {
					fits = fits && holds(c, family)
				} else {
					one.Args = append(one.Args, c)
				}
			}
			if fits {
				out = append(out, one)
			}
		}
	}
	return out
}

// alternatives are the sets of conditions of which one has to hold as a whole. All of a rule's have to, unless two are
// about one argument: runtimes make a rule of each then.
func alternatives(args []specs.LinuxSeccompArg) (out [][]specs.LinuxSeccompArg) {
	seen := map[uint]bool{}
	for _, a := range args {
		if seen[a.Index] {
			for _, one := range args {
				out = append(out, []specs.LinuxSeccompArg{one})
			}
			return out
		}
		seen[a.Index] = true
	}
	return [][]specs.LinuxSeccompArg{args}
}

// holds reports whether a condition holds for a value. One that is not known holds for none.
func holds(c specs.LinuxSeccompArg, value uint64) bool {
	switch c.Op {
	case specs.OpNotEqual:
		return value != c.Value
	case specs.OpLessThan:
		return value < c.Value
	case specs.OpLessEqual:
		return value <= c.Value
	case specs.OpEqualTo:
		return value == c.Value
	case specs.OpGreaterEqual:
		return value >= c.Value
	case specs.OpGreaterThan:
		return value > c.Value
	case specs.OpMaskedEqual:
		return value&c.Value == c.ValueTwo
	}
	return false
}

// refuseOthers refuses every other family, for a profile that lets through what it does not name. A filter compares 64
// bits where the kernel takes 32 for the family. So each rule is about the low ones: it is for a block of families, as
// large as can be, which hold no confined one.
func refuseOthers() (out []specs.LinuxSyscall) {
	const families = 1 << 32
	errno := uint(unix.EAFNOSUPPORT)
	for first := uint64(0); first < families; {
		if slices.Contains(confined, first) {
			first++
			continue
		}
		size := uint64(1)
		for first%(2*size) == 0 && first+2*size <= families && !anyWithin(confined, first, 2*size) {
			size *= 2
		}
		out = append(out, specs.LinuxSyscall{Names: familyCalls, Action: specs.ActErrno, ErrnoRet: &errno,
			Args: []specs.LinuxSeccompArg{{Index: 0, Value: families - size, ValueTwo: first, Op: specs.OpMaskedEqual}}})
		first += size
	}
	return out
}

func anyWithin(values []uint64, first, size uint64) bool {
	return slices.ContainsFunc(values, func(v uint64) bool { return first <= v && v < first+size })
}

// refuseHidden refuses the calls that no filter sees the family of. Runtimes leave out a rule that does what the
// profile does anyway, and libseccomp makes a rule for socketcall of those for socket: so the error is another one.
func refuseHidden(fallback *uint) specs.LinuxSyscall {
	errno := uint(unix.ENOSYS)
	if fallback != nil && *fallback == errno {
		errno = uint(unix.EPERM)
	}
	return specs.LinuxSyscall{Names: hiddenCalls, Action: specs.ActErrno, ErrnoRet: &errno}
}
