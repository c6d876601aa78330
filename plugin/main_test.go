package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestEndsWithStatus: an engine, or systemd, hears that the plugin could not start.
func TestEndsWithStatus(t *testing.T) {
	t.Parallel() // beside TestNeverReady
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	if err := os.WriteFile(store, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := testnet.New(t, "host").Command(testengine.GoFile(t, "", "plugin").Source,
		"-socket", filepath.Join(dir, "socket"), "-docker", filepath.Join(dir, "none"), "-store", store)
	c.Env = append(os.Environ(), surface.NamespacesVariable+"="+dir)
	stop := time.AfterFunc(20*time.Second, func() { _ = c.Process.Kill() })
	defer stop.Stop()
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), store) {
		t.Errorf("with a file as its store: %v: %s", err, out)
	}
}
