package source

import "slices"

// place is where an object stands: in the document that begins at a line of a file, and in which item of a List there.
type place struct {
	file string
	line int
	path string // "" or "items[3]"
}

// locator tells places as people want them, "file:line". The line of an item takes another look into the file, for which a large one is
// parsed as a whole: most places are never told, so it is done for those that are, once a file.
type locator struct {
	read  func(file string) ([]byte, error)
	files map[string][]*document
}

func (l *locator) where(p place) string {
	docs, ok := l.files[p.file]
	if !ok {
		if data, err := l.read(p.file); err == nil { // gone since: then what was known of the line is told
			docs = documents(p.file, data, func() {})
		}
		l.files[p.file] = docs
	}
	if i := slices.IndexFunc(docs, func(d *document) bool { return d.line == p.line }); i >= 0 {
		return docs[i].at(p.path)
	}
	return (&document{file: p.file, line: p.line}).at("")
}
