package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is what the numbers depend on.
type machine struct {
	Kernel    string   `json:"kernel"`
	Processor string   `json:"processor"`
	CPUs      int      `json:"cpus"`
	Memory    string   `json:"memory"`
	Software  []string `json:"software"`
}

// hardware is what a comparison of absolute numbers needs to be the same.
func (m machine) hardware() string {
	return fmt.Sprintf("Linux %s, %s, %d CPUs, %s", m.Kernel, m.Processor, m.CPUs, m.Memory)
}

func (m machine) String() string { return m.hardware() + "; " + strings.Join(m.Software, ", ") }

func describeMachine() machine {
	m := machine{CPUs: runtime.NumCPU(), Processor: "unknown processor", Software: []string{runtime.Version()}}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if model := find("/proc/cpuinfo", `(?m)^model name\s*: (.*)$`); model != "" {
		m.Processor = model
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = fmt.Sprintf("%d GiB", uint64(info.Totalram)*uint64(info.Unit)>>30)
	}
	for _, command := range []string{"nft", "iptables"} {
		if out, err := exec.Command(command, "--version").Output(); err == nil {
			m.Software = append(m.Software, strings.TrimSpace(string(out)))
		}
	}
	return m
}

// find is the first group of a pattern's first match in a file.
func find(file, pattern string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	found := regexp.MustCompile(pattern).FindStringSubmatch(string(text))
	if len(found) < 2 {
		return ""
	}
	return strings.TrimSpace(found[1])
}
