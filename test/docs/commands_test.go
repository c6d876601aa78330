package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testengine"
)

// command is one call of a program in a page.
type command struct {
	page string
	line int
	args []string
}

// commandsOf finds the calls of a program in shell blocks and in inline code.
func commandsOf(t *testing.T, program string) (all []command) {
	t.Helper()
	for _, p := range pages(t) {
		if isGenerated(p.path) {
			continue
		}
		blocks, prose := p.split()
		for _, b := range blocks {
			if b.language == "sh" || b.language == "" {
				for _, c := range b.commands() {
					all = append(all, calls(program, c, p.path, b.line)...)
				}
			}
		}
		for i, line := range prose {
			for _, span := range code.FindAllString(line, -1) {
				all = append(all, calls(program, strings.Trim(span, "`"), p.path, i+1)...)
			}
		}
	}
	return all
}

// calls are those of a program in one line of a shell.
func calls(program, line, page string, number int) (all []command) {
	line, _, _ = strings.Cut(line+" ", " #")
	for _, part := range regexp.MustCompile(`&&|\|\||;| \| `).Split(strings.ReplaceAll(line, "\\\n", " "), -1) {
		words := strings.Fields(part)
		for len(words) > 0 && strings.Contains(words[0], "=") { // the environment
			words = words[1:]
		}
		if len(words) > 1 && words[0] == program {
			all = append(all, command{page, number, words[1:]})
		}
	}
	return all
}

// helpOf builds a program of the module and gives what it says of itself when it is asked with the arguments.
func helpOf(t *testing.T, dir string) func(args ...string) (string, error) {
	t.Helper()
	binary := testengine.GoFile(t, "", dir).Source
	return func(args ...string) (string, error) {
		out, err := exec.Command(binary, args...).CombinedOutput()
		return string(out), err
	}
}

var (
	flagInHelp = regexp.MustCompile(`(?m)^ +(?:-\w, )?--?([a-z][a-z-]*)`)
	word       = regexp.MustCompile(`^[a-z]+$`)
)

// flagsIn are the flags that a help names.
func flagsIn(help string) (flags []string) {
	for _, m := range flagInHelp.FindAllStringSubmatch(help, -1) {
		flags = append(flags, m[1])
	}
	return append(flags, "help")
}

// unknownFlags are those of a call that a help does not name.
func (c command) unknownFlags(help string) (unknown []string) {
	known := flagsIn(help)
	for _, arg := range c.args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && !slices.Contains(known, name) {
			unknown = append(unknown, arg)
		}
	}
	return unknown
}

// TestMcpnetCommands: subcommands and flags of mcpnet that a page names are there.
func TestMcpnetCommands(t *testing.T) {
	help := helpOf(t, "cmd/mcpnet")
	all := commandsOf(t, "mcpnet")
	for _, c := range all {
		sub := c.args[0]
		if strings.HasPrefix(sub, "-") {
			t.Errorf("%s:%d: mcpnet %s", c.page, c.line, strings.Join(c.args, " "))
			continue
		}
		if !word.MatchString(sub) || strings.Contains(sub, "|") {
			continue // "mcpnet OWNER ID", and the like
		}
		text, err := help(sub, "--help")
		if err != nil || !strings.Contains(text, "Usage:\n  mcpnet "+sub+" ") { // cobra shows the help of mcpnet for what it does not know
			t.Errorf("%s:%d: mcpnet has no command %s", c.page, c.line, sub)
		} else if unknown := c.unknownFlags(text); len(unknown) > 0 {
			t.Errorf("%s:%d: mcpnet %s has no %v", c.page, c.line, sub, unknown)
		}
	}
	if len(all) < 20 {
		t.Errorf("only %d calls of mcpnet found", len(all))
	}
}

// TestPluginCommands: the same for the plugin's program and the runtime.
func TestPluginCommands(t *testing.T) {
	text, _ := helpOf(t, "plugin")("-h")
	for _, c := range commandsOf(t, "mcpnet-plugin") {
		if unknown := c.unknownFlags(text); len(unknown) > 0 {
			t.Errorf("%s:%d: mcpnet-plugin has no %v", c.page, c.line, unknown)
		}
	}
	text, _ = helpOf(t, "hook")("--help")
	for _, c := range commandsOf(t, "mcpnet-runtime") {
		if c.args[0] == "hook" && !strings.Contains(text, strings.Join(append([]string{"mcpnet-runtime"}, c.args...), " ")) {
			t.Errorf("%s:%d: mcpnet-runtime %s", c.page, c.line, strings.Join(c.args, " "))
		}
	}
}

// TestMakeTargets: targets that a page names are there.
func TestMakeTargets(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	all := commandsOf(t, "make")
	for _, c := range all {
		for _, target := range c.args {
			if strings.Contains(target, "=") || strings.HasPrefix(target, "-") {
				continue
			}
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target) + `:`).Match(makefile) {
				t.Errorf("%s:%d: make %s: no such target", c.page, c.line, target)
			}
		}
	}
	if len(all) < 10 {
		t.Errorf("only %d calls of make found", len(all))
	}
}

// option is the key of an option. What has this form and is none are names of files, and the prefix of the keys.
var option = regexp.MustCompile(`\b(?:mcpnet|com\.docker\.network)\.[a-z][a-z.]*[a-z]`)

var noOptions = []string{"mcpnet.sock", "mcpnet.service", "mcpnet.status", "mcpnet.plan", "mcpnet.d", "mcpnet.conf", "mcpnet.toml",
	"mcpnet.options"}

// TestOptions: the options that a page names are in the table of keys, and those that a command uses are not for later.
func TestOptions(t *testing.T) {
	supported := map[string]bool{}
	for _, d := range policy.Doc() {
		supported[d.Key] = d.Supported
	}
	seen := 0
	for _, p := range pages(t) {
		blocks, prose := p.split()
		for i, line := range prose {
			for _, key := range option.FindAllString(line, -1) {
				if _, known := supported[key]; !known && !slices.Contains(noOptions, key) {
					t.Errorf("%s:%d: there is no option %s", p.path, i+1, key)
				}
			}
		}
		for _, b := range blocks {
			for i, line := range b.lines {
				for _, key := range option.FindAllString(line, -1) {
					seen++
					if !supported[key] && !slices.Contains(noOptions, key) {
						t.Errorf("%s:%d: option %s is not supported", p.path, b.line+i, key)
					}
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d options found", seen)
	}
}

// variable is an environment variable of ours.
var variable = regexp.MustCompile(`MCPNET_[A-Z]+`)

// TestVariables: environment variables that a page names are read somewhere.
func TestVariables(t *testing.T) {
	sources := sourceText(t)
	for _, p := range pages(t) {
		for i, line := range p.lines {
			for _, name := range variable.FindAllString(line, -1) {
				if !strings.Contains(sources, name) {
					t.Errorf("%s:%d: nothing reads %s", p.path, i+1, name)
				}
			}
		}
	}
}

// sourceText is everything that is compiled, run or read as configuration.
func sourceText(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"*/*.go", "*/*/*.go", "*/*/*/*.go", "scripts/*.sh", "Makefile", "config.json"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}

// engines are messages of Docker's in the table of errors, by what makes it say so before anything of mcpnet is
// installed.
var engines = map[string]string{
	`plugin "mcpnet" not found`:               "docker network create -d mcpnet absent",
	"unknown or invalid runtime name: mcpnet": "docker run --rm --runtime mcpnet busybox true",
}

// TestMessages: the messages that troubleshooting explains are those that mcpnet prints. "…" stands for what changes.
func TestMessages(t *testing.T) {
	_, prose := readPage(t, "docs/troubleshooting.md").split()
	sources := sourceText(t)
	seen, errors := 0, false
	for i, line := range readPage(t, "docs/troubleshooting.md").lines {
		if strings.HasPrefix(line, "## ") {
			errors = line == "## Errors"
		}
		cells := strings.Split(prose[i], "|")
		if !errors || len(cells) < 4 {
			continue
		}
		for _, span := range code.FindAllString(cells[1], -1) {
			message := strings.Trim(span, "`")
			seen++
			for part := range strings.SplitSeq(message, "…") {
				if part = strings.Trim(part, " ()"); part != "" && !strings.Contains(sources, part) && engines[message] == "" {
					t.Errorf("docs/troubleshooting.md:%d: nothing prints %q", i+1, part)
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d messages found", seen)
	}
}

// TestCounters: the rules that troubleshooting explains are there.
func TestCounters(t *testing.T) {
	sources, seen, counters := sourceText(t), 0, false
	for i, line := range readPage(t, "docs/troubleshooting.md").lines {
		counters = strings.HasPrefix(line, "| counter |") || counters && strings.HasPrefix(line, "|")
		if !counters {
			continue
		}
		for _, span := range code.FindAllString(strings.Split(line, "|")[1], -1) {
			seen++
			if name := strings.Trim(span, "`"); !strings.Contains(sources, `("`+name+`"`) {
				t.Errorf("docs/troubleshooting.md:%d: no rule is called %s", i+1, name)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d rules found", seen)
	}
}
