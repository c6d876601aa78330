package testengine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// addFiles puts what the test asks for into the sandbox's file tree.
func addFiles(dir string, config sandboxConfig) error {
	// An absolute link in the tree, such as /var/run, must not lead a file onto
	// the machine: os.Root refuses those.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for name, content := range config.Files {
		if err := putFile(root, name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	for name, source := range config.Programs {
		content, err := os.ReadFile(source)
		if err == nil {
			err = putFile(root, name, content, 0o755)
		}
		if err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		}
	}
	return nil
}

// putFile replaces whatever is at name, a symbolic link included: in some trees
// /etc/resolv.conf is one.
func putFile(root *os.Root, name string, content []byte, mode fs.FileMode) error {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return root.WriteFile(name, content, mode)
}
