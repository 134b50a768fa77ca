// Package soak sends a million requests through one Usher while its table changes a thousand times and the endpoints roll under it, and
// holds that none fails and that neither memory nor goroutines grow. It takes minutes and is no part of `make test`:
//
//	make soak
//	USHER_SOAK_REQUESTS=50000 make soak   # a look
//
// Usher runs as a process of its own, over a folder. Every other swap starts an application, which takes the place of the oldest; that one
// is first terminating and still served by those who are on it, then gone, and its process ends as applications do: it finishes what it
// has. Some swaps change the Ingress as well.
//
// On two cores of an EPYC, which ran the clients and the applications too, without the race detector:
package soak
