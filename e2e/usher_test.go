//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/usher-ingress/usher/e2e/cluster"
)

// usher is a running replica.
type usher struct {
	t       *testing.T
	name    string // of its Pod
	process *cluster.Process
	address string // its traffic address, ports 80 and 443
	admin   string // URL of its admin port
	client  *http.Client
}

var replicas atomic.Int64

// nextReplica is the number that the next replica will have.
func nextReplica() int64 { return replicas.Load() + 1 }

func replicaAddress(n int64) string { return fmt.Sprintf("192.0.2.%d", 10+n) }

// usher starts a replica with further flags and waits until it is ready. At the
// end of the test it must end in good order when asked to, and must not have
// lacked a permission.
func (s *scene) usher(flags ...string) *usher {
	s.t.Helper()
	u := s.start(flags...)
	s.t.Cleanup(func() {
		if err := u.stop(); err != nil {
			s.t.Errorf("end of usher: %v", err)
		}
		u.isPermitted()
	})
	return u
}

// start is usher for a test that ends the replica itself.
func (s *scene) start(flags ...string) *usher {
	s.t.Helper()
	u := s.launch(flags...)
	u.awaitReady(patience)
	return u
}

// command is a replica whose program the test starts, and ends, itself.
func (s *scene) command(flags ...string) (*usher, *exec.Cmd) {
	n := replicas.Add(1)
	u := &usher{t: s.t, name: fmt.Sprintf("usher-%d", n), address: replicaAddress(n), admin: fmt.Sprintf("http://127.0.0.1:%d", 20000+n)}
	u.client = u.newClient(nil)
	return u, usherCommand(slices.Concat([]string{"serve"}, s.flags(), []string{
		"--bind-address", u.address, "--http-port", "80", "--https-port", "443", "--admin-port", strconv.Itoa(int(20000 + n)),
	}, flags)...)
}

// launch is start without waiting.
func (s *scene) launch(flags ...string) *usher {
	s.t.Helper()
	u, cmd := s.command(append([]string{"--shutdown-delay", "0"}, flags...)...)
	cmd.Env = append(cmd.Env, "POD_NAMESPACE="+s.system, "POD_NAME="+u.name)
	var err error
	if u.process, err = cluster.StartProcess(s.logs, u.name, cmd); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s\n%s", cmd, u.tail())
		}
		u.process.Kill()
	})
	return u
}

// stop asks the replica to end and returns how it did, nil for good order.
func (u *usher) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return u.process.Stop(ctx)
}

// wentWell is the log record of a request that was answered, or upgraded, to
// its end.
var wentWell = regexp.MustCompile(`"status":(101|200),"reason":""`)

// tail is the end of what the replica has printed, less the requests that went
// well; of a data race all of it.
func (u *usher) tail() string {
	if _, race, found := strings.Cut(u.process.Log(), "WARNING: DATA RACE"); found {
		return race
	}
	lines := slices.DeleteFunc(strings.Split(u.process.Log(), "\n"), func(line string) bool {
		return wentWell.MatchString(line)
	})
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// usherCommand is the program under test. The first race it has ends it.
func usherCommand(arguments ...string) *exec.Cmd {
	cmd := exec.Command(os.Getenv(binaryVariable), arguments...)
	cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	return cmd
}

// ready returns nil when the replica says that it is.
func (u *usher) ready(ctx context.Context) error { return cluster.Answers(ctx, u.admin+"/readyz") }

// alive returns nil when the replica says that it is.
func (u *usher) alive(ctx context.Context) error { return cluster.Answers(ctx, u.admin+"/healthz") }

// isPermitted fails the test if the API server has refused the replica anything.
func (u *usher) isPermitted() {
	u.t.Helper()
	for _, line := range strings.Split(u.process.Log(), "\n") {
		if strings.Contains(line, "forbidden") {
			u.t.Errorf("the shipped roles do not suffice: %s", line)
			return
		}
	}
}

// metric returns the value of a metric; series is its name, with labels if it
// has any, as /metrics writes it.
func (u *usher) metric(series string) (float64, error) {
	response, err := http.Get(u.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", series)
}

// awaitMetric waits until the metric has the value.
func (u *usher) awaitMetric(series string, want float64) {
	u.t.Helper()
	await(u.t, func() error {
		got, err := u.metric(series)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s is %v, want %v", series, got, want)
		}
		return nil
	})
}
