//go:build linux

// Package traffic is what surrounds Usher in the tests that count failures: clients that keep a rate, Pods that come and go as
// processes, and a TCP balancer in front of replicas.
//
// A [Load] sends requests of several kinds at a given rate, whatever becomes of the answers, and writes down each one that failed.
// Its clients forgive nothing: none of them tries a request again, except where HTTP/2 says that the server has not looked at it.
//
// A Pod is a process, so that it can be killed as one. It is the test binary itself, called with [PodVariable] in its environment:
//
//	func TestMain(m *testing.M) {
//		if traffic.IsPod() {
//			os.Exit(traffic.RunPod())
//		}
//		...
//	}
package traffic
