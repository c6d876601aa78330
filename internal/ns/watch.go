package ns

import (
	"context"
	"fmt"
	"os"

	"github.com/fsnotify/fsnotify"
)

// Watch calls changed when a name comes or goes, until the context ends. A namespace is mounted a moment after its
// name came.
func (p Pins) Watch(ctx context.Context, changed func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch network namespaces: %w", err)
	}
	defer watcher.Close()
	if err := os.MkdirAll(p.dir, 0o755); err != nil { // no network was made since the host started
		return fmt.Errorf("watch network namespaces: %w", err)
	}
	if err := watcher.Add(p.dir); err != nil {
		return fmt.Errorf("watch network namespaces: %s: %w", p.dir, err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-watcher.Events:
			if !ok {
				return fmt.Errorf("watch network namespaces: %s: the watch ended", p.dir)
			}
			if event.Has(fsnotify.Create) || event.Has(fsnotify.Remove) {
				changed()
			}
		case err := <-watcher.Errors:
			return fmt.Errorf("watch network namespaces: %w", err)
		}
	}
}
