package main

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// leave makes a socket whose process died: nobody removed the file.
func leave(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
}

func TestListenTakesStaleSockets(t *testing.T) {
	dir := t.TempDir()
	c := config{socket: filepath.Join(dir, "own/mcpnet.sock"), alias: filepath.Join(dir, "alias.sock")}
	leave(t, c.alias)
	open, err := listen(c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{c.socket, c.alias} {
		if !alive(path) {
			t.Errorf("%s is not served", path)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	open.close()
	if left, _ := filepath.Glob(filepath.Join(dir, "*.sock")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestListenLeavesALivingAlias(t *testing.T) {
	dir := t.TempDir()
	other, err := net.Listen("unix", filepath.Join(dir, "alias.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var said strings.Builder
	c := config{socket: filepath.Join(dir, "mcpnet.sock"), alias: filepath.Join(dir, "alias.sock")}
	open, err := listen(c, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil || len(open) != 1 {
		t.Fatalf("%d listeners, %v", len(open), err)
	}
	defer open.close()
	if !alive(c.alias) || !strings.Contains(said.String(), "only one engine of a machine can have the name mcpnet") {
		t.Errorf("said: %s", said.String())
	}
	if _, err := listenUnix(c.alias); !errors.Is(err, errInUse) {
		t.Errorf("error: %v", err)
	}
}
