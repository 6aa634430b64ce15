package compose

import (
	"path/filepath"
	"strings"
)

// ConfigFiles is Compose's label with the files of a project: where Compose found
// them if it ran the stack before, else the main file and its override as they
// would lie in the project directory, where an operator looks.
func (p *Project) ConfigFiles() string {
	if p.Origin != nil && p.Origin.ConfigFiles != "" {
		return p.Origin.ConfigFiles
	}
	main := p.Main
	if len(main) == 0 { // stored by a davit that did not keep them
		main = p.Files
	}
	var files []string
	for _, f := range main {
		if !filepath.IsAbs(f) {
			f = filepath.Join(p.WorkingDir, filepath.FromSlash(f))
		}
		files = append(files, f)
	}
	return strings.Join(files, ",")
}

// mainFiles are the stack's own files, relative to its directory.
func (l *loading) mainFiles() []string {
	var files []string
	for _, f := range l.stack.Files {
		if rel, err := filepath.Rel(filepath.FromSlash(l.stack.Dir), filepath.FromSlash(f)); err == nil {
			f = filepath.ToSlash(rel)
		}
		files = append(files, f)
	}
	return files
}
