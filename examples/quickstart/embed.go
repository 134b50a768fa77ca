// Package quickstart is the example that `usher demo` serves: the manifests of this folder, embedded.
package quickstart

import "embed"

// Manifests are the YAML files of this folder. Their EndpointSlices name ports of the loopback address; whoever serves them has to
// listen there, or write other ports.
//
//go:embed *.yaml
var Manifests embed.FS
