package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/usher-ingress/usher/pkg/object"
)

// maxDepth bounds how deep subfolders are followed.
const maxDepth = 32

// folder is what one walk found: the files to read, in the order in which they win over each other, and the folders to watch.
type folder struct {
	files    []string
	dirs     []string // "." first
	problems []object.Problem
	unread   []string // files and folders that are there and could not be looked at
}

// hides reports whether a file that was not found may be there all the same.
func (f *folder) hides(file string) bool {
	return slices.ContainsFunc(f.unread, func(name string) bool { return file == name || strings.HasPrefix(file, name+"/") })
}

// walk lists the YAML and JSON files of fsys. Names that begin with a dot are left out: they are version control, editors' files
// and the ..data of a mounted ConfigMap, whose files are reached by the symbolic links beside it. Links to folders are followed,
// unless they lead back to where they stand.
func walk(fsys fs.FS) (*folder, error) {
	f := &folder{}
	root, err := fs.Stat(fsys, ".")
	if err != nil {
		return nil, err
	}
	if err := f.enter(fsys, ".", []fs.FileInfo{root}); err != nil {
		return nil, err
	}
	// A folder that is moved away during the walk looks as if its files were deleted one by one.
	if again, err := fs.Stat(fsys, "."); err != nil {
		return nil, err
	} else if !os.SameFile(root, again) && again.Sys() != nil {
		return nil, errors.New("the folder was replaced while it was read")
	}
	slices.Sort(f.files)
	return f, nil
}

func (f *folder) enter(fsys fs.FS, dir string, ancestors []fs.FileInfo) error {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return err
	}
	f.dirs = append(f.dirs, dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := path.Join(dir, e.Name())
		info, err := fs.Stat(fsys, name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone since, or a dangling link
		case err != nil:
			f.unreadable(name, err)
		case info.IsDir():
			f.descend(fsys, name, append(slices.Clip(ancestors), info))
		case info.Mode().IsRegular() && isManifest(name):
			f.files = append(f.files, name)
		}
	}
	return nil
}

func (f *folder) descend(fsys fs.FS, dir string, ancestors []fs.FileInfo) {
	last := len(ancestors) - 1
	if slices.ContainsFunc(ancestors[:last], func(i fs.FileInfo) bool { return os.SameFile(i, ancestors[last]) }) {
		f.problem(dir, "the link leads back to a folder it stands in; it is not followed")
		return
	}
	if len(ancestors) > maxDepth {
		f.problem(dir, fmt.Sprintf("more than %d folders deep; it is not read", maxDepth))
		return
	}
	if err := f.enter(fsys, dir, ancestors); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.unreadable(dir, err)
	}
}

func (f *folder) unreadable(name string, err error) {
	f.unread = append(f.unread, name)
	f.problem(name, bare(err).Error()+"; what it held before stays in use")
}

func (f *folder) problem(where, message string) {
	f.problems = append(f.problems, object.Problem{Where: where, Message: message})
}

func isManifest(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}
