package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"
)

type listeners []net.Listener

// close closes the listeners, which removes their sockets.
func (l listeners) close() {
	for _, one := range l {
		one.Close()
	}
}

// listen opens the driver's socket and the alias. An alias that another process serves stays that process's: users
// reach this plugin by its full name then.
func listen(c config, log *slog.Logger) (listeners, error) {
	own, err := listenUnix(c.socket)
	if err != nil {
		return nil, err
	}
	out := listeners{own}
	if c.alias == "" || c.alias == c.socket {
		return out, nil
	}
	alias, err := listenUnix(c.alias)
	if err != nil {
		log.Warn("plain \"-d mcpnet\" is not this plugin: use its full name as the driver", "error", err)
		return out, nil
	}
	return append(out, alias), nil
}

var errInUse = errors.New("another process serves this socket: " +
	"only one engine of a machine can have the name mcpnet; " +
	"stop that plugin first")

// listenUnix opens a socket. It replaces the file of a process that died without removing it.
func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if alive(path) {
		return nil, fmt.Errorf("socket %s: %w", path, errInUse)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return l, os.Chmod(path, 0o600)
}

func alive(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
