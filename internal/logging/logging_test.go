package logging

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// speak says one line at each level, one of them with what a child logger adds.
func speak(log *slog.Logger) {
	log.Debug("d")
	log.With("network", "n").Info("i")
	log.Warn("w")
	log.WithGroup("g").Error("e", "time", "kept")
}

// TestManaged: Docker logs standard output at level info and standard error at level error, with its own time.
func TestManaged(t *testing.T) {
	var fine, wrong bytes.Buffer
	speak(slog.New(newSplit(slog.LevelInfo, &fine, &wrong)))
	if want := "level=INFO msg=i network=n\n"; fine.String() != want {
		t.Errorf("standard output %q, want %q", fine.String(), want)
	}
	if want := "level=WARN msg=w\nlevel=ERROR msg=e g.time=kept\n"; wrong.String() != want {
		t.Errorf("standard error %q, want %q", wrong.String(), want)
	}
}

func TestJournal(t *testing.T) {
	var out bytes.Buffer
	speak(slog.New(newJournal(slog.LevelDebug, &out)))
	want := "<7>level=DEBUG msg=d\n<6>level=INFO msg=i network=n\n<4>level=WARN msg=w\n<3>level=ERROR msg=e g.time=kept\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// TestInJournal: the variable is inherited by programs whose standard error is somewhere else.
func TestInJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	at := info.Sys().(*syscall.Stat_t)
	for named, want := range map[string]bool{"": false, "1:2": false, fmt.Sprintf("%d:%d", at.Dev, at.Ino): true} {
		if got := inJournal(f, named); got != want {
			t.Errorf("%q: %v", named, got)
		}
	}
}

func TestLevel(t *testing.T) {
	for text, want := range map[string]slog.Level{"": slog.LevelWarn, "debug": slog.LevelDebug, "ERROR": slog.LevelError,
		strings.Repeat("x", 9): slog.LevelWarn} {
		t.Setenv(Variable, text)
		if got := Level(slog.LevelWarn); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
