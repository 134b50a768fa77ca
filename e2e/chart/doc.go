// Package chart renders and installs charts/usher with the helm program, which it builds from the module e2e/helm, so that the
// product's go.mod stays small.
//
//	err := chart.Build()                                   // once, before the network namespace is entered
//	release, err := chart.Render("usher", "-f", "values.yaml")
//
// Its own tests compare what the chart renders with testdata/NAME.golden.yaml, one for each set of values testdata/NAME.yaml,
// and need no cluster. That an API server takes all of it, and which rights it gives, the tests of package e2e find out; that it
// works on a node, those of package node.
//
//	go test -tags e2e ./e2e/chart          # compare
//	go test -tags e2e ./e2e/chart -update  # write the golden files and the generated part of the chart's README anew
package chart
