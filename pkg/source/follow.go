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
	// pollEvery is how often it is read without being told, for what no notification tells: network file systems, links to files elsewhere.
	pollEvery = 10 * time.Second
)

// follow reads the folder again when it changes, until ctx ends.
func (f *Files) follow(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		f.log.Warn("the folder cannot be watched; it is read again every so often", zap.Duration("every", f.poll), zap.Error(err))
		watcher = &fsnotify.Watcher{}
	} else {
		defer func() { _ = watcher.Close() }()
		f.watcher = watcher
		f.again() // what changed between the first read and the watch
	}
	ticker := time.NewTicker(f.poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-watcher.Events:
			if f.matters(event) && f.quiet(ctx, watcher) {
				f.again()
			}
		case err := <-watcher.Errors:
			f.log.Warn("watching the folder", zap.Error(err))
			f.again()
		case <-ticker.C:
			f.again()
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

// again reads the folder, or says that it is gone.
func (f *Files) again() {
	if err := f.read(); err != nil {
		f.gone(err)
	}
}

// find lists what is to be read, and watches it before it is read, or a change in between would be missed. A folder may turn up
// while its parent is being watched, so this goes on until nothing new is found.
func (f *Files) find() (*folder, error) {
	if f.watcher == nil {
		return f.list()
	}
	_ = f.watcher.Add(f.parent()) // first: it tells when a folder that is gone comes back
	var watched []string
	for range maxDepth {
		found, err := f.list()
		if err != nil || slices.Equal(watched, found.dirs) {
			return found, err
		}
		watched = found.dirs
		f.watch(watched)
	}
	return f.list()
}

// list walks the folder, or names the one file that is read.
func (f *Files) list() (*folder, error) {
	if f.only != "" {
		return &folder{files: []string{f.only}, dirs: []string{"."}}, nil
	}
	return walk(f.fsys)
}

// watch adds the folder and its subfolders. To add what is watched already does no harm, and watches anew what was replaced.
func (f *Files) watch(dirs []string) {
	for _, dir := range dirs {
		if err := f.watcher.Add(filepath.Join(f.root, dir)); err != nil {
			f.log.Warn("a folder cannot be watched; it is read again every so often", zap.String("folder", dir), zap.Duration("every", f.poll), zap.Error(err))
		}
	}
}

// parent is what holds the folder, which may be a link that is swapped.
func (f *Files) parent() string { return filepath.Dir(filepath.Clean(f.root)) }

// matters leaves out changes of permissions, and those beside the folder.
func (f *Files) matters(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	root := filepath.Clean(f.root)
	return root == "." || filepath.Dir(filepath.Clean(e.Name)) != f.parent() || filepath.Clean(e.Name) == root
}
