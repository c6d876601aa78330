package main

import (
	"fmt"
	"os"
	"strings"
)

// published is a report that was written before, whose chapters stay where a run measures only a part.
type published struct {
	machine  string
	chapters map[string]string // by title
}

// readPublished takes a report apart.
func readPublished(file string) (published, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return published{}, err
	}
	p := published{machine: find(file, `(?m)^Machine: (.*)$`), chapters: map[string]string{}}
	for _, part := range strings.Split(string(text), "\n## ")[1:] {
		title, _, _ := strings.Cut(part, "\n")
		p.chapters[title] = "\n## " + strings.TrimRight(part, "\n") + "\n"
	}
	if p.machine == "" || len(p.chapters) == 0 {
		return p, fmt.Errorf("%s is no report: measure everything", file)
	}
	return p, nil
}

// elsewhere is a remark on what was measured under other conditions than the rest.
func (p published) elsewhere(m machine) string {
	if p.machine == "" || strings.HasPrefix(p.machine, m.hardware()) {
		return ""
	}
	return "\nMeasured apart from the rest: " + m.String() + ".\n"
}
