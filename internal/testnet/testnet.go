// Package testnet makes hosts out of network namespaces, for tests of kernel
// behaviour and for the demo.
//
// Nothing here touches the network of the machine: every link, address and
// rule is made inside a namespace that this package created, and every
// namespace is removed when the test ends, when the process is interrupted,
// or, if it was killed, when the next process starts (see sweep).
//
// The package asks for root. It takes the small interface T instead of
// *testing.T so that plain programs can use it: see Program.
package testnet

// T is what testnet needs of a test; *testing.T and *Program have it.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	Name() string
}

// failed tells whether t knows that it failed. Programs do not know.
func failed(t T) bool {
	f, ok := t.(interface{ Failed() bool })
	return ok && f.Failed()
}

// must ends the test when err is not nil.
func must(t T, err error, format string, args ...any) {
	t.Helper()
	if err != nil {
		t.Fatalf(format+": %v", append(args, err)...)
	}
}
