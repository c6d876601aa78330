package register

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/config"
	"github.com/mcpnet/mcpnet/internal/install/tree"
)

// podmanSettings are the files in which Podman looks for its settings, in its order: a later file wins. Podman 4 and 5
// read the first, the fourth and the fifth, Podman 6 reads all of them.
var podmanSettings = []string{
	"/usr/share/containers/containers.conf",
	"/usr/share/containers/containers.conf.d/*.conf",
	"/usr/share/containers/containers.rootful.conf.d/*.conf",
	"/etc/containers/containers.conf",
	podmanDropins,
	"/etc/containers/containers.rootful.conf.d/*.conf",
}

// usualHooks are the directories that Podman reads when no file sets hooks_dir.
var usualHooks = []string{"/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d"}

// hookDirs is the value of engine.hooks_dir after some files were read.
type hookDirs struct {
	dirs []string
	// set says that a file sets it. appends says that each further list is added to those before: a list with
	// {append = true} in it begins that, and one with {append = false} ends it.
	set, appends bool
}

// read takes over what a file says. An error follows the name of the file in a sentence.
func (h *hookDirs) read(text string) error {
	table, err := config.ParseTOML(text)
	if err != nil {
		return err
	}
	value, is := config.Below(table, "engine")["hooks_dir"]
	if !is {
		return nil
	}
	list, isList := value.([]any)
	if !isList {
		return errors.New("has an engine.hooks_dir that is not a list: make it one")
	}
	return h.take(list)
}

func (h *hookDirs) take(list []any) error {
	var dirs []string
	for _, item := range list {
		switch v := item.(type) {
		case string:
			dirs = append(dirs, v)
		case map[string]any:
			h.appends = v["append"] == true
		default:
			return fmt.Errorf("has %v in its engine.hooks_dir, which is not a path: mend it", v)
		}
	}
	h.set = true
	if h.appends {
		dirs = append(slices.Clone(h.dirs), dirs...)
	}
	h.dirs = dirs
	return nil
}

// withOurs is the line that adds mcpnet's directory, or nothing where it is there. A list replaces those of other
// files, and Podman 4 cannot append to them. So the line repeats the user's directories, unless the user's own lists
// append.
func (h hookDirs) withOurs() string {
	switch {
	case slices.Contains(h.dirs, hooksDir):
		return ""
	case h.appends:
		return "hooks_dir = [" + quoted(hooksDir) + ", {append = true}]\n"
	}
	dirs := h.dirs
	if !h.set {
		dirs = usualHooks
	}
	var all []string
	for _, dir := range append(slices.Clone(dirs), hooksDir) {
		all = append(all, quoted(dir))
	}
	return "hooks_dir = [" + strings.Join(all, ", ") + "]\n"
}

// quoted is a string of TOML. One of JSON is the same, escapes included.
func quoted(s string) string {
	text, _ := json.Marshal(s) // a string: it cannot fail
	return string(text)
}

// readSettings reads Podman's settings but for mcpnet's own, and tells how many of the files come before that.
func readSettings(t tree.Tree) (files []tree.TextFile, before int, err error) {
	ours := slices.Index(podmanSettings, podmanDropins)
	for i, pattern := range podmanSettings {
		found, err := t.ReadMatching(pattern, podmanPath)
		if err != nil {
			return nil, 0, err
		}
		for _, f := range found {
			if i < ours || (i == ours && f.Path < podmanPath) {
				before++
			}
		}
		files = append(files, found...)
	}
	return files, before, nil
}
