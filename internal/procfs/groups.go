package procfs

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A list of all processes is old when its last one is looked at: a chain of children, each of which begins the next and
// ends, is never found in it. The list of a container's control group is short. To leave its group a process has to
// write to the hierarchy, which engines let no container do unless it is to run systemd.

// membership is a process's control group in one hierarchy (cgroups(7), /proc/PID/cgroup).
type membership struct {
	controllers string // "" in version 2
	path        string
}

// chase looks at the processes in the control groups of what was found, until it has seen every one that is listed.
func (s *search) chase() {
	mounts, err := table("self")
	if err != nil {
		s.fail(err)
		return
	}
	own := append(membershipsOf("self"), membershipsOf(strconv.Itoa(first))...)
	dirs := map[string]bool{}
	for _, processes := range s.found {
		for _, p := range processes {
			if dir := groupOf(strconv.Itoa(p.PID), mounts, own); dir != "" {
				dirs[dir] = true
			}
		}
	}
	for dir := range dirs {
		for range rounds {
			if !s.group(dir) {
				break
			}
		}
	}
}

// group looks at the processes of a control group and of those below it that were not looked at yet, and reports whether
// one ended before.
func (s *search) group(dir string) (missed bool) {
	text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs")) // one that is gone, or holds threads alone, lists none
	for line := range strings.Lines(string(text)) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if _, looked := s.seen[pid]; err == nil && pid != 0 && !looked && !s.process(pid) {
			missed = true
		}
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() && s.group(filepath.Join(dir, e.Name())) {
			missed = true
		}
	}
	return missed
}

// groupOf is the directory of a process's control group, in the first hierarchy where it is apart from the others that
// are given; "" where there is none.
func groupOf(process string, mounts []mount, others []membership) string {
	for _, m := range membershipsOf(process) {
		if slices.ContainsFunc(others, func(o membership) bool { return o.controllers == m.controllers && contains(m.path, o.path) }) {
			continue
		}
		for _, h := range mounts {
			if below, ok := under(m.path, h.root); ok && h.holds(m.controllers) {
				return filepath.Join(h.point, below)
			}
		}
	}
	return ""
}

func contains(dir, p string) bool {
	_, ok := under(p, dir)
	return ok
}

// holds reports whether a mount is that of a hierarchy with these controllers.
func (m mount) holds(controllers string) bool {
	if controllers == "" {
		return m.kind == "cgroup2"
	}
	first, _, _ := strings.Cut(controllers, ",")
	return m.kind == "cgroup" && slices.Contains(strings.Split(m.options, ","), first)
}

// membershipsOf are the control groups of a process; none of one that has ended.
func membershipsOf(process string) (out []membership) {
	text, _ := os.ReadFile(filepath.Join(root, process, "cgroup"))
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) == 3 {
			out = append(out, membership{fields[1], fields[2]})
		}
	}
	return out
}
