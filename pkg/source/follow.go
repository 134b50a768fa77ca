package source

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

const (
	// settle is how long a folder must be quiet before it is read: an editor writes a file in several steps.
	settle = 50 * time.Millisecond
	// settleMax is the longest a busy folder waits.
	settleMax = 500 * time.Millisecond
	// poll is how often it is read without being told, for what no notification tells: network file systems, links to files elsewhere.
	poll = 10 * time.Second
)

// follow reads the folder again when it changes, until ctx ends.
func (f *Files) follow(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		f.log.Warn("the folder cannot be watched; it is read again every so often", zap.Duration("every", poll), zap.Error(err))
		watcher = &fsnotify.Watcher{}
	} else {
		defer func() { _ = watcher.Close() }()
		f.watch(watcher)
		f.again(watcher) // what changed between the first read and the watch
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-watcher.Events:
			if f.matters(event) && f.quiet(ctx, watcher) {
				f.again(watcher)
			}
		case err := <-watcher.Errors:
			f.log.Warn("watching the folder", zap.Error(err))
			f.again(watcher)
		case <-ticker.C:
			f.again(watcher)
		}
	}
}

// quiet returns when the folder has been left alone for a moment; false if ctx ended.
func (f *Files) quiet(ctx context.Context, watcher *fsnotify.Watcher) bool {
	deadline := time.NewTimer(settleMax)
	defer deadline.Stop()
	timer := time.NewTimer(settle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case event := <-watcher.Events:
			if f.matters(event) {
				timer.Reset(settle)
			}
		case <-timer.C:
			return true
		case <-deadline.C:
			return true
		}
	}
}

// again reads the folder, and once more where a new subfolder came to light, whose files may have come before its watch.
func (f *Files) again(watcher *fsnotify.Watcher) {
	known := f.dirs
	if err := f.read(); err != nil {
		f.gone(err)
		f.dirs = nil
		return
	}
	f.watch(watcher)
	if !slices.Equal(known, f.dirs) {
		if err := f.read(); err != nil {
			f.gone(err)
		}
	}
}

// watch adds the folder, its subfolders and what holds the folder itself, which may be a link that is swapped. To add what is
// watched already does no harm, and watches anew what was replaced.
func (f *Files) watch(watcher *fsnotify.Watcher) {
	if watcher.Events == nil {
		return
	}
	_ = watcher.Add(f.parent())
	for _, dir := range f.dirs {
		if err := watcher.Add(filepath.Join(f.root, dir)); err != nil {
			f.log.Warn("a folder cannot be watched; it is read again every so often", zap.String("folder", dir), zap.Duration("every", poll), zap.Error(err))
		}
	}
}

func (f *Files) parent() string { return filepath.Dir(filepath.Clean(f.root)) }

// matters leaves out changes of permissions, and those beside the folder.
func (f *Files) matters(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	root := filepath.Clean(f.root)
	return root == "." || filepath.Dir(filepath.Clean(e.Name)) != f.parent() || filepath.Clean(e.Name) == root
}
