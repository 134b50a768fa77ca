// Package pkg_test holds the layout of the tree: who may import whom, that every package teaches, and how large things may grow.
package pkg_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/usher-ingress/usher/"

// rule is what one package may import. ours lists our packages below pkg/; never lists import path prefixes of others.
type rule struct {
	ours  []string
	never []string
}

const (
	clientGo   = "k8s.io/client-go"
	kubernetes = "k8s.io/"
	zap        = "go.uber.org/zap"
	prometheus = "github.com/prometheus/"
	certmagic  = "github.com/caddyserver/"
)

// rules is the architecture. If a boundary turns out wrong, move it here and in docs/architecture.md, in the same change.
func rules() map[string]rule {
	return map[string]rule{
		"object":     {never: []string{clientGo, zap}},
		"egress":     {never: []string{"*"}},
		"policy":     {never: []string{kubernetes, zap, prometheus, "net/http", "log", "os"}},
		"route":      {ours: []string{"policy"}, never: []string{kubernetes, zap, prometheus, "net/http", "log", "os"}},
		"resolve":    {ours: []string{"object", "policy", "route", "egress"}, never: []string{clientGo, zap, prometheus, "net/http", "log", "os"}},
		"source":     {ours: []string{"object"}},
		"field":      {never: []string{"*"}},
		"decide":     {ours: []string{"policy", "route", "field"}, never: []string{kubernetes, zap, prometheus, "net/http", "log", "os"}},
		"sock":       {never: []string{"*"}},
		"http1":      {ours: []string{"field", "sock"}, never: []string{"*"}},
		"http2":      {ours: []string{"http1"}, never: []string{kubernetes, zap, prometheus, certmagic}},
		"pool":       {ours: []string{"http1", "sock", "egress"}, never: []string{kubernetes, prometheus}},
		"proxy":      {ours: []string{"decide", "route", "policy", "pool", "http1", "field"}, never: []string{kubernetes, prometheus, certmagic}},
		"certs":      {ours: []string{"route", "policy"}, never: []string{prometheus}},
		"server":     {ours: []string{"http1", "http2", "sock", "field"}, never: []string{kubernetes}},
		"status":     {ours: []string{"object", "route", "policy"}},
		"metrics":    {never: []string{kubernetes}},
		"admin":      {ours: []string{"route", "policy", "explain"}, never: []string{kubernetes}},
		"explain":    {ours: []string{"object", "route", "policy", "resolve", "decide", "field"}, never: []string{clientGo, zap, prometheus, "log", "os"}},
		"controller": {ours: []string{"object", "resolve", "route"}, never: []string{clientGo, prometheus}},
	}
}

// inPure are the packages of the pure core: no goroutine, no log, no clock, no I/O.
func inPure(pkg string) bool {
	return slices.Contains([]string{"policy", "route", "resolve", "decide", "field", "explain", "egress"}, pkg)
}

func TestImports(t *testing.T) {
	rules := rules()
	for _, f := range goFiles(t) {
		pkg := packageOf(f.path)
		r, ok := rules[pkg]
		if !ok {
			t.Errorf("%s: package %s is not in the architecture", f.path, pkg)
			continue
		}
		for _, imported := range f.imports() {
			if why := r.forbids(pkg, imported); why != "" {
				t.Errorf("%s: imports %s: %s", f.path, imported, why)
			}
		}
	}
}

func (r rule) forbids(pkg, imported string) string {
	if own, ok := strings.CutPrefix(imported, module+"pkg/"); ok {
		own, _, _ = strings.Cut(own, "/")
		if own != pkg && !slices.Contains(r.ours, own) {
			return pkg + " may import of ours only " + strings.Join(r.ours, ", ")
		}
		return ""
	}
	for _, never := range r.never {
		if never == "*" && strings.Contains(strings.Split(imported, "/")[0], ".") {
			return pkg + " uses the standard library only"
		}
		if imported == never || strings.HasSuffix(never, "/") && strings.HasPrefix(imported, never) || strings.HasPrefix(imported, never+"/") && never != "net/http" && never != "log" && never != "os" {
			return pkg + " never imports " + never
		}
	}
	return ""
}

// TestPureCore: nothing in the core starts a goroutine or asks for the time.
func TestPureCore(t *testing.T) {
	for _, f := range goFiles(t) {
		if !inPure(packageOf(f.path)) {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: the core starts no goroutine", f.at(n))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && (n.Sel.Name == "Now" || n.Sel.Name == "Since" || n.Sel.Name == "Sleep") {
					t.Errorf("%s: the core has no clock; it is given the time", f.at(n))
				}
			}
			return true
		})
	}
}

func TestEveryPackageTeaches(t *testing.T) {
	docs := map[string]int{}
	for _, f := range goFiles(t) {
		pkg := packageOf(f.path)
		docs[pkg] += 0
		if f.tree.Doc != nil {
			docs[pkg] += len(f.tree.Doc.Text())
		}
	}
	for pkg, length := range docs {
		if length < 150 {
			t.Errorf("package %s: its doc comment teaches too little (%d characters)", pkg, length)
		}
	}
}

// TestBudgets: files fit on a few screens, functions on one, and nothing hides in init or a grab bag.
func TestBudgets(t *testing.T) {
	for _, f := range goFiles(t) {
		if lines := f.set.File(f.tree.Pos()).LineCount(); lines > 500 {
			t.Errorf("%s has %d lines, at most 500", f.path, lines)
		}
		for _, name := range []string{"util", "common", "helper", "misc"} {
			if strings.Contains(f.path, name) {
				t.Errorf("%s: name it after what it does", f.path)
			}
		}
		for _, d := range f.tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				f.checkFunction(t, fn)
			}
		}
	}
}

func (f file) checkFunction(t *testing.T, fn *ast.FuncDecl) {
	if fn.Name.Name == "init" && fn.Recv == nil {
		t.Errorf("%s: no init functions", f.at(fn))
	}
	if lines := f.set.Position(fn.End()).Line - f.set.Position(fn.Pos()).Line + 1; lines > 60 {
		t.Errorf("%s: %s has %d lines, at most 60", f.at(fn), fn.Name.Name, lines)
	}
	if n := fn.Type.Params.NumFields(); n > 4 {
		t.Errorf("%s: %s has %d parameters, at most 4", f.at(fn), fn.Name.Name, n)
	}
}

// TestExportedNamesAreDocumented: every exported name of a package has a sentence.
func TestExportedNamesAreDocumented(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, d := range f.tree.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && fn.Name.IsExported() && fn.Doc == nil && fn.Recv == nil {
				t.Errorf("%s: %s has no doc comment", f.at(fn), fn.Name.Name)
			}
		}
	}
}

type file struct {
	path string
	set  *token.FileSet
	tree *ast.File
}

func (f file) at(n ast.Node) token.Position { return f.set.Position(n.Pos()) }

func (f file) imports() []string {
	var out []string
	for _, i := range f.tree.Imports {
		out = append(out, strings.Trim(i.Path.Value, `"`))
	}
	return out
}

func packageOf(path string) string {
	first, _, _ := strings.Cut(filepath.ToSlash(path), "/")
	return first
}

// goFiles are the non-test files below pkg, parsed.
func goFiles(t *testing.T) []file {
	t.Helper()
	var files []file
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, path, source, parser.ParseComments)
		files = append(files, file{path, set, tree})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	return files
}
