// Package e2e tests Usher as its users meet it: the program, built with the
// race detector, runs as a process against a real Kubernetes API server, with
// a ServiceAccount that has the roles Usher ships and no others. Objects are
// made through the API; requests arrive over real connections.
//
//	make e2e
//	go test -tags e2e ./e2e -run TestPaths -v
//
// Each test is a [scene]: namespaces, an IngressClass and a ServiceAccount of
// its own, so that tests see nothing of each other. Package cluster has the
// API server and the network they run in.
package e2e
