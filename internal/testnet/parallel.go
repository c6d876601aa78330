package testnet

import (
	"flag"
	"strconv"
)

// AtATime lets more tests run at a time than there are processors, unless the command line says how many: they wait for
// the kernel and for other programs most of the time, and each has a host of its own. TestMain calls it.
func AtATime(tests int) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = flag.Set("test.parallel", strconv.Itoa(tests))
	}
}
