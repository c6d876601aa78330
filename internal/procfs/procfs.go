// Package procfs reads the processes of network namespaces from /proc (proc_pid_status(5)).
package procfs

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/policy"
)

// root is where proc is mounted.
const root = "/proc"

// Processes finds the processes in each of the network namespaces, by the namespace's inode.
func Processes(wanted map[uint64]bool) (map[uint64][]admission.Process, error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	out := map[uint64][]admission.Process{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		for inode, p := range threads(pid, wanted) {
			out[inode] = append(out[inode], p)
		}
	}
	return out, nil
}

// NetNS is the path of a process's network namespace.
func NetNS(pid int) string { return filepath.Join(root, strconv.Itoa(pid), "ns/net") }

// threads sums a process's threads up by their network namespaces: capabilities, no_new_privileges and namespace are
// each thread's own. One may end at any time, and is then none.
func threads(pid int, wanted map[uint64]bool) map[uint64]admission.Process {
	dir := filepath.Join(root, strconv.Itoa(pid), "task")
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	out := map[uint64]admission.Process{}
	for _, task := range tasks {
		inode, ok := netns(filepath.Join(dir, task.Name()))
		if !ok || !wanted[inode] {
			continue
		}
		status, err := os.ReadFile(filepath.Join(dir, task.Name(), "status"))
		if err != nil {
			continue
		}
		p := parseStatus(status)
		if before, known := out[inode]; known {
			p.PID, p.Start, p.Caps, p.Sealed = before.PID, before.Start, p.Caps|before.Caps, p.Sealed && before.Sealed
		} else {
			p.PID, p.Start = pid, started(pid)
		}
		out[inode] = p
	}
	return out
}

func netns(dir string) (inode uint64, ok bool) {
	link, err := os.Readlink(filepath.Join(dir, "ns/net"))
	if err != nil {
		return 0, false
	}
	n, err := fmt.Sscanf(link, "net:[%d]", &inode)
	return inode, n == 1 && err == nil
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

// startOf reads field 22, behind the name, which may hold anything in parentheses.
func startOf(stat []byte) uint64 {
	const afterName = 19 // fields between the name and the start
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= afterName {
		return 0
	}
	start, _ := strconv.ParseUint(fields[afterName], 10, 64)
	return start
}
