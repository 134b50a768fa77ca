//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/usher-ingress/usher/e2e/cluster"
)

const (
	// OutsideAddress is whom the cluster sees when [Outside] connects.
	OutsideAddress = "192.0.2.2"
	// BalancerRange is for the addresses of Services of type LoadBalancer.
	BalancerRange = "198.18.0.0/24"

	outside    = "outside" // name of the network namespace
	networks   = "/run/netns/"
	plugins    = "/usr/lib/cni"
	stateDir   = "/run/usher-e2e"
	cgroupBase = "kubepods"
)

// Missing says what this machine lacks to be a node; nil is nothing.
func Missing() error {
	if os.Getuid() != 0 {
		return errors.New("root is needed")
	}
	var missing []string
	for program, from := range map[string]string{"containerd": "containerd", "ctr": "containerd", "runc": "runc", "nft": "nftables", "ip": "iproute2"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, from)
		}
	}
	for _, plugin := range []string{"ptp", "host-local", "portmap"} {
		if _, err := os.Stat(filepath.Join(plugins, plugin)); err != nil {
			missing = append(missing, "containernetworking-plugins")
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("these packages are missing (apt-get install): %s", strings.Join(missing, " "))
	}
	try := exec.Command("true")
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	if err := try.Run(); err != nil {
		return fmt.Errorf("the kernel refuses namespaces: %w", err)
	}
	return nil
}

// World is what the tests run in: the node, with mounts and processes of its own.
func World() cluster.World { return cluster.World{Enter: enter, Mounts: true, Leave: removeCgroups} }

// enter makes the node's mounts, and joins it to the world outside.
func enter() error {
	for _, step := range []func() error{mounts, links, forwarding} {
		if err := step(); err != nil {
			return err
		}
	}
	return os.Setenv("TMPDIR", stateDir)
}

// mounts hides what the machine's own containerd, kubelet or CNI may have in their usual places. Nothing of it is seen outside: the
// mounts are first cut off from the machine's, and then shared among the node's own, as the kubelet wants it.
func mounts() error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{"", "/", "", unix.MS_REC | unix.MS_SHARED},
		{"proc", "/proc", "proc", 0},
		{"tmpfs", "/run", "tmpfs", 0},
		{"tmpfs", "/var/lib", "tmpfs", 0},
		{"tmpfs", "/var/log", "tmpfs", 0},
	} {
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.kind, m.target, err)
		}
	}
	return os.MkdirAll(stateDir, 0o700)
}

// links joins the two namespaces. The node's own route to everywhere is there so that it can reach a Service's address at all, before
// kube-proxy's rules have turned it into a Pod's.
func links() error {
	if err := cluster.IP(
		"link set lo up",
		"netns add "+outside,
		"link add node type veth peer name client netns "+outside,
		"addr add "+cluster.NodeAddress+"/24 dev node",
		"link set node up",
		"route add default via "+OutsideAddress,
	); err != nil {
		return err
	}
	inside := exec.Command("ip", "-n", outside, "-batch", "-")
	inside.Stdin = strings.NewReader("link set lo up\naddr add " + OutsideAddress + "/24 dev client\nlink set client up\nroute add default via " + cluster.NodeAddress + "\n")
	if out, err := inside.CombinedOutput(); err != nil {
		return fmt.Errorf("ip in %s: %w: %s", outside, err, out)
	}
	return nil
}

func forwarding() error {
	return errors.Join(
		os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600),
		os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte("0"), 0o600))
}

// Outside connects to an address from outside of the cluster.
func Outside(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and nobody else gets its network
		if err := join(outside); err != nil {
			done <- result{nil, err}
			return
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// join puts the calling thread into a network namespace.
func join(name string) error {
	namespace, err := os.Open(networks + name)
	if err != nil {
		return err
	}
	defer namespace.Close()
	return unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
}

// removeCgroups removes the cgroups that the kubelet has made, which are all that outlives a node. They are empty then.
func removeCgroups() {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + cgroupBase) // the pattern is right
	for _, root := range append(roots, "/sys/fs/cgroup/"+cgroupBase) {
		removeTree(root)
	}
}

// removeTree removes folders, and nothing but folders, from the leaves up.
func removeTree(folder string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return // there is none
	}
	for _, entry := range entries {
		if entry.IsDir() {
			removeTree(filepath.Join(folder, entry.Name()))
		}
	}
	_ = unix.Rmdir(folder) // refused if it is in use, which is then somebody else's
}
