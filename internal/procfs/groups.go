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
// write to the hierarchy: engines let a container do so that is to run systemd, within what it has mounted of it.

// membership is a process's control group in one hierarchy (cgroups(7), /proc/PID/cgroup).
type membership struct {
	controllers string // "" in version 2
	path        string
}

// chase looks at the processes in the control groups of what was found, until it has seen every one that is listed.
func (s *search) chase() {
	dirs, err := s.groups()
	if err != nil {
		s.fail(err)
	}
	for dir := range dirs {
		for range rounds {
			if !s.group(dir) {
				break
			}
		}
	}
}

// groups are the directories of the control groups of what was found, those of this process and of the host's first one
// left out.
func (s *search) groups() (map[string]bool, error) {
	mounts, err := table("self")
	if err != nil {
		return nil, err
	}
	hosts := append(membershipsOf("self"), membershipsOf(strconv.Itoa(first))...)
	seen, dirs := map[membership]bool{}, map[string]bool{}
	for _, processes := range s.found {
		for _, p := range processes {
			m, ok := apart(strconv.Itoa(p.PID), hosts)
			if !ok || seen[m] {
				continue
			}
			seen[m] = true
			if dir := m.highest(strconv.Itoa(p.PID), hosts).dir(mounts); dir != "" {
				dirs[dir] = true
			}
		}
	}
	return dirs, nil
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

// apart is a process's control group in the first hierarchy where the others are not in it.
func apart(process string, others []membership) (m membership, ok bool) {
	for _, m := range membershipsOf(process) {
		if !m.holdsAny(others) {
			return m, true
		}
	}
	return m, false
}

// holdsAny reports whether one of the others is in a control group or below it.
func (m membership) holdsAny(others []membership) bool {
	return slices.ContainsFunc(others, func(o membership) bool {
		return o.controllers == m.controllers && contains(m.path, o.path)
	})
}

// highest is the highest control group that a process has mounted, of which its own is a part: it may be able to move
// its children about there.
func (m membership) highest(process string, others []membership) membership {
	mounts, _ := table(process) // of one that has ended there is none
	for _, h := range mounts {
		top := membership{m.controllers, h.root}
		if h.holds(m.controllers) && contains(top.path, m.path) && !top.holdsAny(others) {
			m = top
		}
	}
	return m
}

// dir is the directory of a control group; "" where its hierarchy is not mounted.
func (m membership) dir(mounts []mount) string {
	for _, h := range mounts {
		if below, ok := under(m.path, h.root); ok && h.holds(m.controllers) {
			return filepath.Join(h.point, below)
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
