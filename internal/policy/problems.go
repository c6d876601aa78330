package policy

import "github.com/mcpnet/mcpnet/internal/problem"

// Problem and Problems are the names by which internal/engine knows the package problem.
type (
	Problem  = problem.Problem
	Problems = problem.List
)
