package install

import "github.com/aymanbagabas/go-udiff"

// diff shows the change of a text as `diff -u` does, and as patch(1) takes it. A side that is not there is /dev/null.
func diff(path string, was bool, before string, is bool, after string) string {
	const none = "/dev/null"
	from, to := path, path
	if !was {
		from = none
	}
	if !is {
		to = none
	}
	return udiff.Unified(from, to, before, after)
}
