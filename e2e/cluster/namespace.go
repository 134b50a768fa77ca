//go:build linux

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// Addresses that exist in the tests' network namespace and nowhere else.
const (
	// NodeAddress is the machine: the API server listens there, and requests
	// that choose no source address come from it.
	NodeAddress = "192.0.2.1"
	// NodeRange may be listened on in full, one address a replica for example.
	NodeRange = "192.0.2.0/24"
	// PodRange may be listened on in full; the API server takes its addresses
	// in EndpointSlices.
	PodRange = "10.244.0.0/16"
	// PodRange6 is the same for IPv6.
	PodRange6 = "fd00:10:244::/64"
)

// insideVariable is set for the tests that run inside the namespace.
const insideVariable = "USHER_E2E_INSIDE"

// Tests is a testing.M, or a wrapper of one that cleans up when it has run.
type Tests interface{ Run() int }

// Main runs tests in network and process namespaces of their own and
// exits with their status. When it ends, however it ends, the kernel ends every
// process that a test has started.
//
// prepare, unless nil, runs before, outside the namespace, where module
// downloads still work; what it puts into the environment the tests see.
//
// Root is not needed where the kernel allows user namespaces.
func Main(tests Tests, prepare func() error) {
	World{Enter: makeAddresses}.Main(tests, prepare)
}

// Inside is Main for those who start no cluster: it builds no programs.
func Inside(tests Tests, prepare func() error) {
	World{Enter: makeAddresses, bare: true}.Main(tests, prepare)
}

// World is what tests run in, if it is another one than that of [Main].
type World struct {
	// Enter makes the addresses, and what else there has to be inside.
	Enter func() error
	// Mounts: mounts are the tests' own too, and end with them. That needs root.
	Mounts bool
	// Leave is called outside, when everything inside has ended; nil is nothing.
	Leave func()

	bare bool // without the programs of a cluster
}

// Main is as [Main], in this world.
func (w World) Main(tests Tests, prepare func() error) {
	status, err := w.run(tests, prepare)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
	}
	os.Exit(status)
}

func (w World) run(tests Tests, prepare func() error) (status int, err error) {
	if os.Getenv(insideVariable) != "" {
		if err := w.Enter(); err != nil {
			return 1, err
		}
		return tests.Run(), nil
	}
	if !w.bare {
		if err := findPrograms(); err != nil {
			return 1, err
		}
	}
	if prepare != nil {
		if err := prepare(); err != nil {
			return 1, err
		}
	}
	if w.Leave != nil {
		defer w.Leave()
	}
	return w.runInside()
}

// runInside runs this very program again inside new namespaces and returns its
// exit status. The kernel ties the lifetime of the copy to the thread that
// started it, hence the lock.
func (w World) runInside() (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	self := exec.Command("/proc/self/exe", os.Args[1:]...)
	self.Stdin, self.Stdout, self.Stderr = os.Stdin, os.Stdout, os.Stderr
	self.Env = append(os.Environ(), insideVariable+"=1")
	self.SysProcAttr = w.namespaces()
	err := self.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("entering namespaces (root or user namespaces are needed): %w", err)
	}
	return 0, nil
}

func (w World) namespaces() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if w.Mounts {
		attributes.Cloneflags |= syscall.CLONE_NEWNS
	}
	if os.Getuid() != 0 {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	return attributes
}

// makeAddresses makes the ranges local. A "local" route lets a process listen
// on any address of the range without an interface for each. The default route
// is for the API server, which refuses to start without one.
func makeAddresses() error {
	lines := []string{
		"link set lo up",
		"addr add " + NodeAddress + "/32 dev lo",
		"route add local " + NodeRange + " dev lo",
		"route add local " + PodRange + " dev lo",
		"route add default dev lo src " + NodeAddress,
	}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err == nil {
		lines = append(lines, "route add local "+PodRange6+" dev lo")
	}
	return IP(lines...)
}

// IP runs lines of commands by ip of iproute2.
func IP(lines ...string) error {
	ip := exec.Command("ip", "-batch", "-")
	ip.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var said bytes.Buffer
	ip.Stdout, ip.Stderr = &said, &said
	if err := ip.Run(); err != nil {
		return fmt.Errorf("addresses of the test namespace, by ip of iproute2: %w: %s", err, said.String())
	}
	return nil
}
