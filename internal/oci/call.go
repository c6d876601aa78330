package oci

import (
	"path/filepath"
	"slices"
	"strings"
)

// Call is a command line of an OCI runtime, as runc and crun understand it: global options, a command, its options, and
// then, with the first word that is none, the container's id.
type Call struct {
	Args    []string // all, without the program's name
	Command string   // "create", "exec", …, or "" where there is none
	global  []string
	rest    []string // behind Command
}

// valued are the options that take their value from the next word, unless it is written behind "=".
var valued = map[string][]string{
	"":       {"root", "log", "log-format", "criu", "rootless", "cgroup-manager"},
	"create": {"bundle", "b", "console-socket", "pid-file", "preserve-fds", "pidfd-socket", "config", "f"},
	"run":    {"bundle", "b", "console-socket", "pid-file", "preserve-fds", "pidfd-socket", "config", "f"},
	"restore": {"bundle", "b", "image-path", "work-path", "parent-path", "console-socket", "pid-file", "manage-cgroups-mode", "empty-ns",
		"lsm-profile", "lsm-mount-context"},
	"exec": {"process", "p", "console-socket", "cwd", "env", "e", "user", "u", "additional-gids", "g", "pid-file", "process-label",
		"apparmor", "cap", "c", "preserve-fds", "cgroup", "pidfd-socket", "mount-label"},
	"start":  nil,
	"delete": nil,
}

// ParseCall reads a command line.
func ParseCall(args []string) Call {
	c := Call{Args: args}
	n := optionsEnd(args, valued[""])
	c.global = args[:n]
	if n < len(args) {
		c.Command, c.rest = args[n], args[n+1:]
	}
	return c
}

// optionsEnd is the index of the first word that is neither an option nor an option's value.
func optionsEnd(args, valued []string) int {
	for i := 0; i < len(args); i++ {
		name, _, inline := option(args[i])
		switch {
		case args[i] == "--":
			return i + 1
		case name == "":
			return i
		case !inline && slices.Contains(valued, name):
			i++
		}
	}
	return len(args)
}

// option reads a word as an option; the name is "" where it is none.
func option(word string) (name, value string, inline bool) {
	if len(word) < 2 || word[0] != '-' || word == "--" {
		return "", "", false
	}
	name, value, inline = strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
	return name, value, inline
}

// values gives the values of an option by its names, in order.
func values(args []string, names ...string) (out []string) {
	for i := 0; i < len(args); i++ {
		name, value, inline := option(args[i])
		if name == "" || !slices.Contains(names, name) {
			continue
		}
		if !inline && i+1 < len(args) {
			i++
			value = args[i]
		}
		out = append(out, value)
	}
	return out
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// options are the words ahead of the container's id.
func (c Call) options() []string { return c.rest[:optionsEnd(c.rest, valued[c.Command])] }

// ID is the container's id.
func (c Call) ID() string {
	if n := len(c.options()); n < len(c.rest) {
		return c.rest[n]
	}
	return ""
}

// Config is the path of the bundle's document, of create and run.
func (c Call) Config() string {
	config := last(values(c.options(), "config", "f"))
	if config == "" {
		config = ConfigFile
	}
	if filepath.IsAbs(config) {
		return config
	}
	return filepath.Join(c.Bundle(), config)
}

// Bundle is the directory of the bundle, of create and run.
func (c Call) Bundle() string {
	if bundle := last(values(c.options(), "bundle", "b")); bundle != "" {
		return bundle
	}
	return "."
}

// Process is the path of the process document of exec, or "" where the process is on the command line.
func (c Call) Process() string { return last(values(c.options(), "process", "p")) }

// AddedCaps are the capabilities that exec asks for on the command line.
func (c Call) AddedCaps() []string { return values(c.options(), "cap", "c") }

// Roots are the directories of the runtime's state: the one that is named, or those of runc and crun.
func (c Call) Roots() []string {
	if root := last(values(c.global, "root")); root != "" {
		return []string{root}
	}
	return []string{"/run/runc", "/run/crun"}
}

// Log is the file that engines read a failed call's reason from, and its format; "" where there is none.
func (c Call) Log() (path, format string) {
	return last(values(c.global, "log")), last(values(c.global, "log-format"))
}
