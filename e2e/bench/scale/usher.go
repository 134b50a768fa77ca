//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// binaryVariable names the program under test to the part of this program that runs inside the namespace.
const binaryVariable = "USHER_SCALE_BINARY"

const (
	usherAddress = "192.0.2.10"
	adminAddress = "192.0.2.10:10254"
)

// usher is the process under test.
type usher struct {
	process *cluster.Process
	proc    string // its folder in /proc
	started time.Time
}

// startUsher returns when the process is ready.
func startUsher(ctx context.Context, dir string, flags ...string) (*usher, error) {
	return startBy(ctx, dir, nil, flags...)
}

// startBy is startUsher by a program that becomes Usher, such as taskset.
func startBy(ctx context.Context, dir string, by []string, flags ...string) (*usher, error) {
	flags = append([]string{"serve", "--bind-address", usherAddress, "--admin-address", usherAddress, "--http-port", "80", "--https-port", "443",
		"--admin-port", "10254", "--shutdown-delay", "0", "--shutdown-grace-period", "1s", "--access-log=false", "--update-status=false", "--profiling"}, flags...)
	_ = os.Remove(dir + "/usher.log")
	words := slices.Concat(by, []string{os.Getenv(binaryVariable)}, flags)
	cmd := exec.Command(words[0], words[1:]...)
	u := &usher{started: time.Now()}
	var err error
	if u.process, err = cluster.StartProcess(dir, "usher", cmd); err != nil {
		return nil, err
	}
	if u.proc, err = procOf(u.process.Pid()); err != nil {
		u.process.Kill()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := u.process.Await(ctx, ready); err != nil {
		u.process.Kill()
		return nil, err
	}
	return u, nil
}

func ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+adminAddress+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

func (u *usher) stop() { u.process.Kill() }

// procOf finds a child of this program in /proc, which counts processes as the outer namespace does.
func procOf(pid int) (string, error) {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return "", err
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list) // of a thread that may have ended
		for _, child := range strings.Fields(string(text)) {
			status, _ := os.ReadFile("/proc/" + child + "/status")
			_, line, _ := strings.Cut(string(status), "NSpid:")
			line, _, _ = strings.Cut(line, "\n")
			if strings.HasSuffix(line, fmt.Sprintf("\t%d", pid)) {
				return "/proc/" + child, nil
			}
		}
	}
	return "", fmt.Errorf("process %d is not in /proc", pid)
}

// cpu is what the process has used so far, user and system, in ticks of 10 ms.
func (u *usher) cpu() time.Duration {
	text, err := os.ReadFile(u.proc + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(fields[11]) // utime and stime, proc_pid_stat(5); the kernel writes numbers
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory is a field of /proc/PID/status in MiB: VmRSS for now, VmHWM for the most so far.
func (u *usher) memory(field string) float64 {
	text, err := os.ReadFile(u.proc + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), field+":")
	kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kib / 1024
}

// dialFrom connects to Usher from an address of the namespace, so that ports do not run out.
func dialFrom(ctx context.Context, source, port string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	return d.DialContext(ctx, "tcp", usherAddress+":"+port)
}
