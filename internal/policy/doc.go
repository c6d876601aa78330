// Package policy turns the options a user gives for a network or an endpoint
// into a Policy or an Endpoint.
//
// It is strict: an option that is unknown, malformed or not supported in this
// version is refused, never ignored, because a misspelled restriction that is
// silently dropped is an open network. All problems of an input are reported
// together, as a problem.List, and nothing is returned beside it.
//
// The package is pure: it reads nothing but its arguments, and equal arguments
// give equal results, byte for byte, error texts included. Every option key
// stands once, in table.go; parsing, rendering, suggestions and
// documentation (Doc) are all made from it.
package policy
