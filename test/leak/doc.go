// Package leak tries to break the promises of mcpnet from a server's seat.
//
// A Vector is one way to break one promise: frames written by root inside a
// server's network namespace, connections made there, or what others send that
// a server must not see. Every vector carries a token of its own. A leak is a
// token that turns up where it should not, a connection that comes about, or
// something that a bridge, the host, the gateway or a neighbour learned.
//
// A vector proves something only if it leaks on a network without a policy.
// So each has an aim, the place where it shows on an ordinary bridge, and the
// suite fails when it does not show there.
//
// Run needs no more of a container than its network namespace; the same
// vectors run through real engines.
package leak
