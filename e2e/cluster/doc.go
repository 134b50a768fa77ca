// Package cluster runs a real Kubernetes API server, with etcd behind it, for
// the end-to-end tests. No container, no image and no network is needed.
//
// A test package gives its TestMain to [Main], which runs the tests in a
// network namespace of their own:
//
//	func TestMain(m *testing.M) { cluster.Main(m, nil) }
//
// In there every address of [PodRange] can be listened on, so a [Backend] has
// an address that the API server accepts in an EndpointSlice (it refuses
// loopback), and ports never collide with anything else on the machine.
//
//	c, err := cluster.Start(ctx, cluster.Options{})
//	defer c.Stop()
//	client := kubernetes.NewForConfigOrDie(c.Config())
//
// There is no kubelet and no scheduler: a Pod is what the test says it is.
// [Options.Controllers] adds the controller manager, for EndpointSlices made
// from Services and Pods, garbage collection and the end of namespaces.
// [Options.Nodes] lets kubelets in: package node has one, in a [World] of its
// own.
//
// The programs are built by e2e/tools/build.sh on first use and kept.
package cluster
