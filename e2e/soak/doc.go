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
// A run on two cores of an EPYC, which also ran the clients, the applications and other work (25 November 2026, `make soak`):
//
//	1,000,000 requests in 1m30s, 1,001 swaps, 505 applications, 0 failed
//	RSS 50.5 MiB on average; the line through the measurements rises by 0.5 MiB from the 200th swap to the last
//	goroutines 36 on average; the line falls by 0.7
package soak
