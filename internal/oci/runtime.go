package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mcpnet/mcpnet/internal/printed"
	"github.com/mcpnet/mcpnet/internal/strictjson"
)

// runtimes are the real runtimes in the order in which they are looked for.
var runtimes = []string{"runc", "crun"}

// searchPath is where they are looked for behind $PATH, which services may lack.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// SettingsPath is the file that names another runtime.
const SettingsPath = "/etc/mcpnet/runtime.json"

// settings are the contents of SettingsPath.
type settings struct {
	Runtime string `json:"runtime"` // path of the real runtime
}

// FindRuntime finds the real runtime: the one that the settings name, or runc, or crun.
func FindRuntime() (string, error) {
	data, err := os.ReadFile(SettingsPath)
	if err == nil {
		return configured(data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	dirs := strings.Split(os.Getenv("PATH")+":"+searchPath, ":")
	for _, name := range runtimes {
		for _, dir := range dirs {
			if path := filepath.Join(dir, name); filepath.IsAbs(path) && usable(path) == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("no %s in %s: install one, or name it in %s: {\"runtime\": \"/path/of/runc\"}", strings.Join(runtimes, " and no "), strings.Join(dirs, ":"), SettingsPath)
}

func configured(data []byte) (string, error) {
	var s settings
	if err := strictjson.Unmarshal(data, &s); err != nil {
		return "", fmt.Errorf("%s: %w; accepted: {\"runtime\": \"/path/of/runc\"}", SettingsPath, err)
	}
	if !filepath.IsAbs(s.Runtime) {
		return "", fmt.Errorf("%s: runtime %q is not an absolute path", SettingsPath, s.Runtime)
	}
	if err := usable(s.Runtime); err != nil {
		return "", fmt.Errorf("%s: runtime: %w", SettingsPath, err)
	}
	return s.Runtime, nil
}

// usable checks that a path is a program, and not this one under another name.
func usable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("%s is not a program", path)
	}
	if self, err := os.Stat("/proc/self/exe"); err == nil && os.SameFile(self, info) {
		return fmt.Errorf("%s is mcpnet-runtime itself", path)
	}
	return nil
}

// Exec becomes the real runtime, with the same arguments. It only returns when that fails.
func Exec(path string, args []string) error {
	err := syscall.Exec(path, append([]string{path}, args...), os.Environ())
	return fmt.Errorf("run %s: %w", path, err)
}

// Report writes a call's failure where the engine looks for it: into the runtime's log, and to standard error.
func (c Call) Report(failure error) {
	text := "mcpnet-runtime: " + printed.Lines(failure.Error())
	fmt.Fprintln(os.Stderr, text)
	path, format := c.Log()
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return // standard error has it
	}
	defer f.Close()
	line := []byte(fmt.Sprintf("time=%q level=error msg=%q", time.Now().Format(time.RFC3339), text))
	if format == "json" {
		line, _ = json.Marshal(map[string]string{"level": "error", "msg": text, "time": time.Now().Format(time.RFC3339)})
	}
	_, _ = f.Write(append(line, '\n'))
}
