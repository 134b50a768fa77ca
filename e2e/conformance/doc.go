// Package conformance checks an ingress controller against the API
// networking.k8s.io/v1, from outside: it creates objects, sends requests, and
// compares who answers.
//
// The upstream suite, ingress-controller-conformance, is not maintained since
// 2021. Its features are restated here, with more that the text of the API
// says: each is a file in features/, which any reader of Ingresses can judge:
//
//	feature: A path of type Exact matches that path alone, letter by letter
//	source: HTTPIngressPath.pathType, Exact
//	steps:
//	- ingresses:
//	    exact: {rules: [...]}           # the spec; its class is filled in
//	  requests: |
//	    http://exact.test/foo   foo     # answered by a Pod of Service foo
//	    http://exact.test/foo/  404     # by the controller
//
// Services, EndpointSlices and Secrets follow from the Ingresses. The Pods are
// listeners of the checking program, so neither an image nor a node is needed:
// the controller must be able to reach the program's address. Controllers take
// a moment to notice a change, so a step has passed when all its requests get
// the answers they should, in one pass; it has failed when that has not
// happened in time.
//
// A [World] is where objects are put: the API server of a cluster, or a folder
// for controllers that read one. Package run, beside this one, is the command.
package conformance
