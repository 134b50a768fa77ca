//go:build linux

// Program scale measures Usher where it is large or under attack, and writes what it finds to e2e/bench/SCALE.md.
//
//	go run ./e2e/bench/scale                     # everything
//	go run ./e2e/bench/scale -only files,idle    # some of it; the other sections of the file stay
//
// The objects are those of objects.go: Ingresses of three hosts with two paths each and two annotations, one in ten with TLS, over 20,000
// Services with three endpoints each. They come from a folder, or from a real kube-apiserver of e2e/cluster. Usher runs as a process; its
// CPU time and memory are read from /proc. Everything runs in a network namespace of its own, on all cores of the machine, the load and
// the API server too: what is a time here is an upper bound.
//
// Attacks are the exception: what is attacked has a core to itself, attackers are a process of their own with the least priority on the
// others, so that what others wait for is what is attacked and not the attackers' own use of a processor. nginx suffers the same attacks,
// where there is one. See role.go.
//
// The CPU time of a change is taken while nobody asks for anything. At rest it is that of 100 changes, 40 ms apart, divided by 100. In
// the churn it is that of a window of it, less that of as long a window without, divided by the changes that were made in it: Usher
// gathers those of a burst, so each is cheaper than one at rest. It was once taken from two windows under load: what 500 requests a
// second cost swings by more than what 100 changes a second do, and the difference said nothing, not even with its sign.
//
// "Others" are clients that ask for another host at a constant rate. Each request is timed from the moment it was meant to be sent, so a
// stall is not hidden by the requests that it delays.
package main
