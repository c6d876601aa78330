package main

// notifier wakes a loop. Notifications that come before the loop runs count as one.
type notifier chan struct{}

func newNotifier() notifier { return make(notifier, 1) }

// notify never blocks.
func (n notifier) notify() {
	select {
	case n <- struct{}{}:
	default:
	}
}
