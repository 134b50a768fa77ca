//go:build linux

// Program app is what Pods of the node's tests run: an application (package traffic), whose options are in the environment, or with
// the argument "pause" the process that holds a Pod's namespaces.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/usher-ingress/usher/e2e/traffic"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "pause" {
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
		<-end
		return
	}
	os.Exit(traffic.RunPod())
}
