// Package node runs Usher as its users do: on a Kubernetes node, with the kubelet, containerd, runc and kube-proxy, installed by Helm
// from an image. The node is a network namespace of this machine with the control plane of package cluster beside it; a second
// namespace is the world outside, which reaches Services of type NodePort and LoadBalancer with an address of its own.
//
//	make e2e-node
//
// It needs root, and Debian's packages containerd, runc, containernetworking-plugins and nftables, or the same from elsewhere. No
// container engine and no registry is needed: package image makes the images. Processes, networks and mounts are those of
// namespaces that end with the test; what is written is in memory.
package node
