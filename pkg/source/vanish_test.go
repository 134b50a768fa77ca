package source

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// vanishing is a file system whose opened names are refused by a rule.
type vanishing struct {
	fs.FS
	refuse func(name string) error
}

func (v *vanishing) Open(name string) (fs.File, error) {
	if err := v.refuse(name); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return v.FS.Open(name)
}

// TestFolderVanishesDuringTheWalk: a folder that is moved away between its listing and its files is gone, not empty.
func TestFolderVanishesDuringTheWalk(t *testing.T) {
	opened := 0
	_, err := walk(&vanishing{FS: fstest.MapFS{"a.yaml": {}, "b.yaml": {}}, refuse: func(string) error {
		if opened++; opened > 2 { // the root, and its listing
			return fs.ErrNotExist
		}
		return nil
	}})
	if err == nil {
		t.Error("want an error, so that the files are not taken for deleted")
	}
}

// TestUnreadableSubfolder: what a subfolder held stays in use while it cannot be read.
func TestUnreadableSubfolder(t *testing.T) {
	found, err := walk(&vanishing{FS: fstest.MapFS{"a.yaml": {}, "team/b.yaml": {}}, refuse: func(name string) error {
		if strings.HasPrefix(name, "team") {
			return fs.ErrPermission
		}
		return nil
	}})
	if err != nil || len(found.problems) != 1 || !found.hides("team/b.yaml") || found.hides("a.yaml") {
		t.Errorf("%+v, %v", found, err)
	}
}
