// Package chart is the part of the Helm chart that usher lint --values needs: lists of what the chart ignores and refuses.
package chart

import "embed"

// Files are those lists.
//
//go:embed files/*.yaml
var Files embed.FS
