package iptables

import "strings"

// snapshot is the rules of one family as iptables-save prints them: by table and chain, without "-A" and the chain's
// name. A chain without rules is there and empty.
type snapshot map[string]map[string][]string

func parseSnapshot(saved string) snapshot {
	s := snapshot{}
	var chains map[string][]string
	for line := range strings.Lines(saved) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "*"):
			chains = map[string][]string{}
			s[line[1:]] = chains
		case chains == nil: // a comment ahead of the first table
		case strings.HasPrefix(line, ":"):
			name, _, _ := strings.Cut(line[1:], " ")
			chains[name] = nil
		case strings.HasPrefix(line, "-A "):
			name, rule, _ := strings.Cut(line[len("-A "):], " ")
			chains[name] = append(chains[name], rule)
		}
	}
	return s
}

func (s snapshot) hasChain(table, chain string) bool {
	_, ok := s[table][chain]
	return ok
}
