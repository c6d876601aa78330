package admission

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// HiddenLayers is the type of an overlay whose layers nothing shows.
const HiddenLayers = "fuse.fuse-overlayfs"

// readLayers and writtenLayers are the options of an overlay that name directories.
var readLayers, writtenLayers = []string{"lowerdir", "datadir"}, []string{"upperdir", "workdir"}

// Layers are the directories of the host that the options of an overlay name (Linux, filesystems/overlayfs). A relative
// one begins at the root: an engine's working directory.
func Layers(options []string) (dirs []Mount) {
	for _, option := range options {
		key, value, _ := strings.Cut(option, "=")
		key = strings.TrimRight(key, "+")
		reads := slices.Contains(readLayers, key)
		if !reads && !slices.Contains(writtenLayers, key) {
			continue
		}
		for _, dir := range splitLayers(value) {
			if dir != "" {
				dirs = append(dirs, Mount{path.Join("/", dir), reads})
			}
		}
	}
	return dirs
}

// splitLayers parts a list at its colons. A backslash takes the meaning from what follows it.
func splitLayers(list string) []string {
	dirs := []string{""}
	last := func() *string { return &dirs[len(dirs)-1] }
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && i+1 < len(list):
			i++
			*last() += list[i : i+1]
		case c == ':':
			dirs = append(dirs, "")
		default:
			*last() += list[i : i+1]
		}
	}
	return dirs
}

// LayersOf are the directories of the host that a mounted file system shows, by its type, source and options: an
// overlay its layers, ecryptfs and bindfs another directory. The options are those of a mount table, where the kernel escapes
// what would part them (proc_pid_mountinfo(5), seq_show_option in the kernel).
func LayersOf(kind, source, options string) []Mount {
	switch {
	case kind == "overlay":
		fields := strings.Split(options, ",")
		for i, f := range fields {
			fields[i] = unescape(f)
		}
		return Layers(fields)
	case kind != "ecryptfs" && kind != "fuse" && !strings.HasPrefix(kind, "fuse."),
		!path.IsAbs(source), within(source, "/dev"):
		return nil
	}
	return []Mount{{Source: source}}
}

// unescape undoes octal escapes.
func unescape(text string) string {
	var out strings.Builder
	for len(text) > 0 {
		const escape = len(`\054`)
		if text[0] == '\\' && len(text) >= escape {
			if c, err := strconv.ParseUint(text[1:escape], 8, 8); err == nil {
				out.WriteByte(byte(c))
				text = text[escape:]
				continue
			}
		}
		out.WriteByte(text[0])
		text = text[1:]
	}
	return out.String()
}
