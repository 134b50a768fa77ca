package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tools are the programs the bench cannot do without, and their Debian packages.
var tools = []struct{ binary, debian string }{
	{"nginx", "nginx"}, {"haproxy", "haproxy"}, {"wrk", "wrk"}, {"h2load", "nghttp2-client"}, {"taskset", "util-linux"},
}

// install brings what is missing from Debian. Whoever is not root, or not on Debian, is told what to install.
func install(ctx context.Context) error {
	var missing, packages []string
	for _, t := range tools {
		if findBinary(t.binary) == "" {
			missing, packages = append(missing, t.binary), append(packages, t.debian)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	want := fmt.Sprintf("missing %s: install the packages %s", strings.Join(missing, ", "), strings.Join(packages, " "))
	if findBinary("apt-get") == "" || os.Geteuid() != 0 {
		return fmt.Errorf("%s (the bench does it itself as root on Debian)", want)
	}
	fmt.Fprintln(os.Stderr, "bench: installing", strings.Join(packages, " "))
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	install := append([]string{"install", "-y", "--no-install-recommends"}, packages...)
	for _, args := range [][]string{{"update", "-qq"}, install} {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s; apt-get %s: %w\n%s", want, strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// findBinary is exec.LookPath that also knows where Debian keeps its daemons. Empty means not found.
func findBinary(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// pin moves this program to one core by starting it anew, and raises its limit of open files, which its children inherit.
func pin(cpu int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files to %d: %w", limit.Max, err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	if statusField(string(status), "Cpus_allowed_list") == strconv.Itoa(cpu) {
		return nil
	}
	taskset := findBinary("taskset")
	if taskset == "" {
		return fmt.Errorf("taskset not found: install util-linux")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{"taskset", "-c", strconv.Itoa(cpu), self}, os.Args[1:]...)
	return fmt.Errorf("taskset: %w", syscall.Exec(taskset, args, os.Environ()))
}
