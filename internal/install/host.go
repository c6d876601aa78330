package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// host is the tree that is installed into: the machine's own, or one below another directory.
type host struct{ root string }

func openHost(root string) (host, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return host{}, err
	}
	info, err := os.Stat(root)
	if err == nil && !info.IsDir() {
		err = errors.New("not a directory")
	}
	if err != nil {
		return host{}, fmt.Errorf("--root %s: %w; name the directory that holds the tree", root, unwrapped(err))
	}
	return host{root}, nil
}

// at is where a path of the tree is on this machine.
func (h host) at(path string) string { return filepath.Join(h.root, path) }

// lock keeps a second installation out. It is held on the root itself, so that nothing is left behind, and where a
// file system cannot do that (NFS) it is done without.
func (h host) lock() (unlock func(), err error) {
	dir, err := os.Open(h.root)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		dir.Close()
		return nil, fmt.Errorf("another mcpnet installs into %s now: try again when it has ended", h.root)
	}
	return func() { dir.Close() }, nil
}

// contain refuses a path that a symbolic link leads out of another tree, onto this machine.
func (h host) contain(path string) error {
	if h.root == "/" {
		return nil
	}
	root, err := os.OpenRoot(h.root)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = root.Stat(filepath.Join(".", filepath.Dir(path)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("--root %s: %s: %w; an absolute symbolic link on the way to it leads out of the tree: make it relative",
			h.root, filepath.Dir(path), unwrapped(err))
	}
	return nil
}

// manifest reads what was installed.
func (h host) manifest() (manifest, error) {
	text, err := os.ReadFile(h.at(manifestPath))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = nil, nil
	}
	if err != nil {
		return manifest{}, withRemedy(err)
	}
	m, err := readManifest(text)
	if err != nil {
		return m, fmt.Errorf("%s: %w; move it away and install once more, which recognises what is there", h.at(manifestPath), err)
	}
	return m, nil
}

// places finds the directories that plugins go to: those in use, and those where mcpnet is already, so that no older
// version of it stays behind.
func (h host) places(m manifest) places {
	var p places
	for _, dir := range cniDirs {
		if slices.ContainsFunc(referencePlugins, func(plugin string) bool { return h.exists(filepath.Join(dir, plugin)) }) {
			p.cni = append(p.cni, dir)
		}
	}
	for _, dir := range netavarkDirs {
		if h.exists(dir) {
			p.netavark = append(p.netavark, dir)
			break
		}
	}
	for _, r := range m.Files {
		switch dir := filepath.Dir(r.Path); {
		case !h.exists(r.Path):
		case r.Part == CNI:
			p.cni = append(p.cni, dir)
		case r.Part == Netavark:
			p.netavark = append(p.netavark, dir)
		}
	}
	return places{h.distinct(p.cni), h.distinct(p.netavark)}
}

func (h host) exists(path string) bool {
	_, err := os.Lstat(h.at(path))
	return err == nil
}

// distinct drops directories that are another one by a symbolic link.
func (h host) distinct(dirs []string) []string {
	var out []string
	known := map[string]bool{}
	for _, dir := range dirs {
		real, err := filepath.EvalSymlinks(h.at(dir))
		if err == nil && !known[real] {
			known[real] = true
			out = append(out, dir)
		}
	}
	return out
}

// look sees everything that a plan about these paths asks for.
func (h host) look(paths []string, m manifest) (view, error) {
	v := view{files: map[string]seen{}, missing: map[string]bool{}, entries: map[string][]string{}}
	for _, path := range append(slices.Clone(paths), manifestPath) {
		if err := h.contain(path); err != nil {
			return v, err
		}
		s, err := h.see(path)
		if err != nil {
			return v, withRemedy(err)
		}
		v.files[path] = s
		for dir := filepath.Dir(path); dir != "/" && !h.exists(dir); dir = filepath.Dir(dir) {
			v.missing[dir] = true
		}
	}
	for _, dir := range m.Directories {
		entries, err := os.ReadDir(h.at(dir))
		if err != nil {
			continue // gone, or no directory any more: nothing of ours to remove
		}
		v.entries[dir] = []string{}
		for _, e := range entries {
			v.entries[dir] = append(v.entries[dir], filepath.Join(dir, e.Name()))
		}
	}
	for _, path := range enabledPaths {
		if _, err := os.Lstat(h.at(path)); err == nil {
			v.enabled = append(v.enabled, path)
		}
	}
	return v, nil
}

// imports reads the files of these patterns but for mcpnet's own, in containerd's order.
func (h host) imports(patterns []string) ([]textFile, error) {
	var files []textFile
	for _, pattern := range patterns {
		found, err := filepath.Glob(h.at(importPath(pattern)))
		if err != nil {
			return nil, fmt.Errorf("%s: imports: %q: %w: mend it", h.at(containerdPath), pattern, err)
		}
		for _, path := range found {
			path = "/" + strings.TrimPrefix(strings.TrimPrefix(path, h.root), "/")
			if path == containerdDropin {
				continue
			}
			if err := h.contain(path); err != nil {
				return nil, err
			}
			text, err := os.ReadFile(h.at(path))
			if err != nil {
				return nil, withRemedy(err)
			}
			files = append(files, textFile{path, text})
		}
	}
	return files, nil
}

// textFile is a file that was read.
type textFile struct {
	path string
	text []byte
}

func (h host) see(path string) (seen, error) {
	info, err := os.Lstat(h.at(path))
	if errors.Is(err, fs.ErrNotExist) {
		return seen{}, nil
	}
	if err != nil {
		return seen{}, err
	}
	s := seen{there: true, mode: Mode(info.Mode().Perm())}
	switch {
	case info.IsDir():
		s.what = "a directory"
	case info.Mode()&fs.ModeSymlink != 0:
		s.what = "a symbolic link"
	case !info.Mode().IsRegular():
		s.what = "a special file"
	default:
		content, err := os.ReadFile(h.at(path))
		if err != nil {
			return s, err
		}
		s.sha256, s.text = sum(content), content
	}
	return s, nil
}

// unwrapped is an error of a system call without its path, which the message around it names.
func unwrapped(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// withRemedy says what to do about errors that have one.
func withRemedy(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return fmt.Errorf("%w: run this as root or with sudo", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: choose a directory that can be written with --dir", err)
	}
	return err
}
