// Package procfs reads the processes of network namespaces from /proc (proc_pid_status(5)).
package procfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/policy"
)

// root is where proc is mounted.
const root = "/proc"

// Processes finds the processes in each of the network namespaces, by the namespace's inode, and those elsewhere that
// share another namespace with them. An error says what could not be seen; the rest is found all the same.
func Processes(wanted map[uint64]bool) (map[uint64][]admission.Process, error) {
	pids, err := numbers(root)
	if err != nil {
		return nil, err
	}
	hosts, err := hostsNamespaces()
	if err != nil {
		return nil, err
	}
	s := search{wanted: wanted, hosts: hosts, found: map[uint64][]admission.Process{}, owners: map[owner]bool{}, seen: map[int]sight{}}
	for _, pid := range pids {
		if pid != first {
			s.process(pid)
		}
	}
	s.chase()
	for pid, seen := range s.seen {
		s.lodger(pid, seen)
	}
	return s.found, s.err()
}

// first is the host's first process, which is in no container.
const first = 1

// hostsNamespaces are those of the host's first process. Where a security module hides it, this process stands for it,
// which may have a host's name of its own.
func hostsNamespaces() (map[string]uint64, error) {
	found, err := namespacesOf(filepath.Join(root, strconv.Itoa(first)))
	if errors.Is(err, fs.ErrPermission) {
		return namespacesOf(filepath.Join(root, "self"))
	}
	return found, err
}

// numbers are the entries of a directory that are numbers.
func numbers(path string) (out []int, err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			out = append(out, n)
		}
	}
	return out, nil
}

// NetNS is the path of a process's network namespace.
func NetNS(pid int) string { return filepath.Join(root, strconv.Itoa(pid), "ns/net") }

// Interfaces names the interfaces in a process's network namespace. It costs less than a socket there. One that has
// ended has none.
func Interfaces(pid int) (names []string, err error) {
	text, err := os.ReadFile(filepath.Join(root, strconv.Itoa(pid), "net/dev"))
	if ended(err) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	for line := range strings.Lines(string(text)) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			names = append(names, strings.TrimSpace(name))
		}
	}
	slices.Sort(names)
	return names, err
}

// kinds are the namespaces of a container's own beside the network's, by the names in /proc/PID/ns.
var kinds = []string{"pid", "ipc", "uts"}

// search is one look at all processes.
type search struct {
	wanted map[uint64]bool   // network namespaces
	hosts  map[string]uint64 // namespaces of the host's first process, by their kinds
	found  map[uint64][]admission.Process
	// owners tells in which network namespaces the processes of another namespace are.
	owners map[owner]bool
	seen   map[int]sight // all processes
	unseen int
	cause  error
}

// sight is what was seen of a process: one of its threads, and those of the network namespaces that it is in.
type sight struct {
	thread int
	nets   []uint64
}

// owner is a namespace of a container's beside the network's, and that one.
type owner struct {
	kind       string
	inode, net uint64
}

// err tells what could not be seen.
func (s *search) err() error {
	if s.unseen == 0 {
		return nil
	}
	return fmt.Errorf("the namespaces of %d processes cannot be seen (CAP_SYS_PTRACE): %w", s.unseen, s.cause)
}

// fail notes what could not be seen. A process may end at any time, and is then none.
func (s *search) fail(err error) {
	if err == nil || ended(err) {
		return
	}
	s.unseen++
	s.cause = err
}

func ended(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }

// rounds is how often a list is read again from which something ended before it was looked at: children or threads that
// live for a moment each, and take turns at what they hold.
const rounds = 16

// process sums a process's threads up by their network namespaces: capabilities, no_new_privileges and namespaces are
// each thread's own. It reports whether the process was there to be looked at.
func (s *search) process(pid int) bool {
	found, looked := map[uint64]admission.Process{}, threads{}
	var err error
	for range rounds {
		var missed bool
		if missed, err = s.threads(pid, looked, found); err != nil || !missed {
			break
		}
	}
	thread, ok := looked.any()
	if !ok {
		s.fail(err)
		return !ended(err)
	}
	s.seen[pid] = sight{thread, slices.Collect(maps.Keys(found))}
	for inode, p := range found {
		if now := started(pid); now == p.Start || now == 0 { // else another process has its number
			s.found[inode] = append(s.found[inode], p)
		}
	}
	return true
}

// threads are those of a process that were listed. One that ended before it was looked at is false.
type threads map[int]bool

// any is one of those that were looked at.
func (t threads) any() (thread int, ok bool) {
	for thread, looked := range t {
		if looked {
			return thread, true
		}
	}
	return 0, false
}

// threads looks at the threads that were not listed before, and reports whether one ended meanwhile.
func (s *search) threads(pid int, known threads, found map[uint64]admission.Process) (missed bool, err error) {
	dir := filepath.Join(root, strconv.Itoa(pid), "task")
	tasks, err := numbers(dir)
	if err != nil {
		return false, err
	}
	for _, task := range tasks {
		if _, ok := known[task]; ok {
			continue
		}
		err := s.threadOf(pid, task, found)
		known[task] = !ended(err)
		missed = missed || ended(err)
		s.fail(err)
	}
	return missed, nil
}

// threadOf looks at a thread of a process, and adds it to what was found of the process in its network namespace.
func (s *search) threadOf(pid, task int, found map[uint64]admission.Process) error {
	dir := filepath.Join(root, strconv.Itoa(pid), "task", strconv.Itoa(task))
	inode, err := inodeOf(dir, "net")
	if err != nil || !s.wanted[inode] {
		return err
	}
	whole, known := found[inode]
	if !known {
		whole.PID, whole.Thread = pid, task
		whole.Start, whole.Inside = s.origin(pid)
	}
	p, err := s.thread(dir, inode)
	if err != nil {
		return err
	}
	p.PID, p.Thread, p.Start, p.Inside = whole.PID, whole.Thread, whole.Start, whole.Inside
	found[inode] = join(found, inode, p)
	return nil
}

// origin tells when a process began, and whether its parent is in a container: in another pid namespace than the host's
// first process. Who enters a container is made by a process of the host; its children are not.
func (s *search) origin(pid int) (start uint64, inside bool) {
	for range rounds {
		stat, err := os.ReadFile(filepath.Join(root, strconv.Itoa(pid), "stat"))
		if err != nil {
			return 0, false
		}
		start = startOf(stat)
		pids, err := inodeOf(filepath.Join(root, strconv.FormatUint(parentOf(stat), 10)), "pid")
		if !ended(err) {
			return start, err == nil && pids != s.hosts["pid"]
		}
	}
	return start, false // each parent ended before it was looked at
}

// thread reads what one thread holds, and notes its namespaces as the container's.
func (s *search) thread(dir string, net uint64) (p admission.Process, err error) {
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return p, err
	}
	p = parseStatus(status)
	own, err := namespacesOf(dir)
	if err != nil {
		return p, err
	}
	p.Nested = own["user"] != s.hosts["user"]
	for _, kind := range kinds {
		if own[kind] == s.hosts[kind] {
			p.Hosts = append(p.Hosts, kind)
		} else if !p.Nested {
			s.owners[owner{kind, own[kind], net}] = true
		}
	}
	return p, nil
}

// join sums a thread up with those before it.
func join(found map[uint64]admission.Process, inode uint64, p admission.Process) admission.Process {
	before, known := found[inode]
	if !known {
		return p
	}
	before.Caps |= p.Caps
	before.Sealed = before.Sealed && p.Sealed
	before.Nested = before.Nested && p.Nested
	for _, kind := range p.Hosts {
		if !slices.Contains(before.Hosts, kind) {
			before.Hosts = append(before.Hosts, kind)
		}
	}
	return before
}

// lodger finds out whether a process in another network namespace is in a namespace of a container's. One in a user
// namespace of its own is a part of the container that has shut itself off.
func (s *search) lodger(pid int, seen sight) {
	dir := filepath.Join(root, strconv.Itoa(seen.thread))
	own, err := namespacesOf(dir)
	if err != nil {
		s.fail(err)
		return
	}
	if own["user"] != s.hosts["user"] {
		return
	}
	shared := map[uint64][]string{}
	for o := range s.owners {
		if own[o.kind] == o.inode && !slices.Contains(seen.nets, o.net) {
			shared[o.net] = append(shared[o.net], o.kind)
		}
	}
	for net, kinds := range shared {
		slices.Sort(kinds)
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		s.found[net] = append(s.found[net], admission.Process{PID: pid, Thread: seen.thread, Start: started(pid), Name: strings.TrimSpace(string(name)), Elsewhere: kinds})
	}
}

// namespacesOf gives the namespaces of a process or thread that are looked at, by their kinds.
func namespacesOf(dir string) (map[string]uint64, error) {
	out := map[string]uint64{}
	for _, kind := range append([]string{"user"}, kinds...) {
		inode, err := inodeOf(dir, kind)
		if err != nil {
			return nil, err
		}
		out[kind] = inode
	}
	return out, nil
}

// inodeOf tells one namespace of a process or thread from others of its kind.
func inodeOf(dir, kind string) (inode uint64, err error) {
	link, err := os.Readlink(filepath.Join(dir, "ns", kind))
	if errors.Is(err, fs.ErrPermission) { // which the kernel also says of one that ends meanwhile
		if _, gone := os.Stat(dir); gone != nil {
			err = gone
		}
	}
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscanf(link, kind+":[%d]", &inode); err != nil {
		return 0, fmt.Errorf("%s: %q: %w", filepath.Join(dir, "ns", kind), link, err)
	}
	return inode, nil
}

func started(pid int) uint64 {
	stat, err := os.ReadFile(filepath.Join(root, strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	return startOf(stat)
}

// capSets is how many sets of capabilities a process has (capabilities(7)).
const capSets = 5

// parseStatus reads the sets of capabilities. What is not understood counts as everything.
func parseStatus(status []byte) (p admission.Process) {
	lines := bufio.NewScanner(bytes.NewReader(status))
	sets := 0
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Name":
			p.Name = value
		case "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
			bits, err := strconv.ParseUint(value, 16, 64)
			if err == nil {
				p.Caps |= policy.Caps(bits)
				sets++
			}
		case "NoNewPrivs":
			p.Sealed = value == "1"
		}
	}
	if sets != capSets {
		p.Caps = policy.AllCaps
	}
	return p
}

// startOf reads field 22.
func startOf(stat []byte) uint64 { return statField(stat, 22) }

// parentOf reads field 4.
func parentOf(stat []byte) uint64 { return statField(stat, 4) }

// statField reads a number of /proc/PID/stat behind the name, which is field 2 and may hold anything in parentheses.
func statField(stat []byte, number int) uint64 {
	const behindName = 3
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= number-behindName {
		return 0
	}
	value, _ := strconv.ParseUint(fields[number-behindName], 10, 64)
	return value
}
