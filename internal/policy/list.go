package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// items splits a list at its commas and trims the space around each item.
func items(value string) []string {
	list := strings.Split(value, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// parseList reads every item of a list with parse. An empty item is refused,
// and so is a duplicate, which is more often a typing error than a wish.
func parseList[T comparable](value string, parse func(string) (T, problem.List)) ([]T, problem.List) {
	var list []T
	var problems problem.List
	seen := map[T]bool{}
	if slices.Contains(items(value), "") {
		problems = bad(value, "the list has an empty item")
	}
	for _, item := range items(value) {
		if item == "" {
			continue
		}
		v, wrong := parse(item)
		switch {
		case wrong != nil:
			problems = append(problems, wrong...)
		case seen[v]:
			problems = append(problems, bad(item, "given twice")...)
		default:
			seen[v] = true
			list = append(list, v)
		}
	}
	return list, problems
}

// parseWord reads a value that is one of a few words.
func parseWord[T ~string](value string, words ...T) (T, problem.List) {
	if slices.Contains(words, T(value)) {
		return T(value), nil
	}
	wrong := problem.Problem{Value: value, Reason: "not one of the accepted values"}
	for _, w := range words {
		if strings.EqualFold(strings.TrimSpace(value), string(w)) {
			wrong.Reason = "values are written in lower case, without spaces"
		}
	}
	wrong.Nearest = problem.Nearest(value, words)
	return "", problem.List{wrong}
}

// join renders a list as an option value.
func join[T fmt.Stringer](list []T) string {
	text := make([]string, len(list))
	for i, v := range list {
		text[i] = v.String()
	}
	return strings.Join(text, ",")
}

// bad is the problem of one wrong value; the option's row adds the rest.
func bad(value, reason string) problem.List {
	return problem.List{{Value: value, Reason: reason}}
}
