// Package logging writes the log of mcpnet's programs so that whoever keeps it sees levels, and one time for each line.
//
// Docker keeps what a managed plugin writes: each line of standard output at level info, each of standard error at
// level error, with a time of its own. systemd takes a level from the first characters of a line (sd-daemon(3)), and
// adds the time. Anybody else gets slog's text as it is.
package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
)

// Variable is the environment variable that says how much is reported.
const Variable = "MCPNET_LOG"

// Level is what Variable says, or the usual one.
func Level(usual slog.Level) slog.Level {
	level := usual
	if level.UnmarshalText([]byte(os.Getenv(Variable))) != nil {
		return usual
	}
	return level
}

// Managed is the log of a managed plugin of Docker's.
func Managed(level slog.Level) *slog.Logger { return slog.New(newSplit(level, os.Stdout, os.Stderr)) }

// Standard is the log of any other process, on its standard error.
func Standard(level slog.Level) *slog.Logger {
	if inJournal(os.Stderr, os.Getenv("JOURNAL_STREAM")) {
		return slog.New(newJournal(level, os.Stderr))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// withoutTime leaves out the time, which whoever keeps the log adds.
func withoutTime(level slog.Level) *slog.HandlerOptions {
	return &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
}

// split sends what is in order to one writer and what is not to another.
type split struct{ fine, wrong slog.Handler }

func newSplit(level slog.Level, fine, wrong io.Writer) split {
	return split{slog.NewTextHandler(fine, withoutTime(level)), slog.NewTextHandler(wrong, withoutTime(level))}
}

func (s split) of(level slog.Level) slog.Handler {
	if level >= slog.LevelWarn {
		return s.wrong
	}
	return s.fine
}

// Enabled implements slog.Handler.
func (s split) Enabled(ctx context.Context, level slog.Level) bool { return s.fine.Enabled(ctx, level) }

// Handle implements slog.Handler.
func (s split) Handle(ctx context.Context, r slog.Record) error { return s.of(r.Level).Handle(ctx, r) }

// WithAttrs implements slog.Handler.
func (s split) WithAttrs(attrs []slog.Attr) slog.Handler {
	return split{s.fine.WithAttrs(attrs), s.wrong.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (s split) WithGroup(name string) slog.Handler {
	return split{s.fine.WithGroup(name), s.wrong.WithGroup(name)}
}

// journal puts systemd's level in front of each line.
type journal struct {
	slog.Handler
	lines *prefixed
}

func newJournal(level slog.Level, out io.Writer) journal {
	lines := &prefixed{out: out}
	return journal{slog.NewTextHandler(lines, withoutTime(level)), lines}
}

// Handle implements slog.Handler.
func (j journal) Handle(ctx context.Context, r slog.Record) error {
	j.lines.mu.Lock()
	defer j.lines.mu.Unlock()
	j.lines.level = priority(r.Level)
	return j.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (j journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journal{j.Handler.WithAttrs(attrs), j.lines}
}

// WithGroup implements slog.Handler.
func (j journal) WithGroup(name string) slog.Handler {
	return journal{j.Handler.WithGroup(name), j.lines}
}

// priority is that of syslog(3), as sd-daemon(3) writes it.
func priority(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "<3>"
	case level >= slog.LevelWarn:
		return "<4>"
	case level >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
}

// prefixed writes each line behind a level. mu is held from the choice of the level to the end of the line.
type prefixed struct {
	mu    sync.Mutex
	level string
	out   io.Writer
}

// Write implements io.Writer. A handler writes one whole line.
func (p *prefixed) Write(line []byte) (int, error) {
	_, err := p.out.Write(bytes.Join([][]byte{[]byte(p.level), line}, nil))
	return len(line), err
}

// inJournal tells whether a file is the stream to systemd's journal that the variable names: "device:inode"
// (systemd.exec(5)).
func inJournal(f *os.File, named string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	at, ok := info.Sys().(*syscall.Stat_t)
	return ok && named == stream(at)
}

func stream(at *syscall.Stat_t) string { return fmt.Sprintf("%d:%d", at.Dev, at.Ino) }
