//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// This program is several processes, so that who attacks, who is attacked and who only asks for something are kept apart. The environment
// tells a process that it is not the first: see roleVariable.
//
//	"attacks DIR NAME"   makes the table of attacks, of those with NAME in their names, on all cores but the last
//	"attacker DIR N"     makes attack N, on the same cores and with the least priority
//
// What is attacked has the last core to itself.
const roleVariable = "USHER_SCALE_ROLE"

// play plays the role of this process, if it has one, and returns its exit status.
func play(ctx context.Context) (status int, played bool) {
	words := strings.Fields(os.Getenv(roleVariable))
	if len(words) == 0 {
		return 0, false
	}
	if err := playRole(ctx, words); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		return 1, true
	}
	return 0, true
}

func playRole(ctx context.Context, words []string) error {
	switch {
	case words[0] == "attacks" && len(words) >= 2:
		text, err := attackTable(ctx, &bench{dir: words[1], attack: strings.Join(words[2:], " ")})
		if err != nil {
			return err
		}
		_, err = io.WriteString(os.Stdout, text)
		return err
	case words[0] == "attacker" && len(words) == 3:
		n, err := strconv.Atoi(words[2])
		if err != nil || n < 0 || n >= len(attacks()) {
			return fmt.Errorf("%s %q: there is no such attack", roleVariable, words)
		}
		return attackFor(ctx, attacks()[n], words[1])
	}
	return fmt.Errorf("%s %q: there is no such role", roleVariable, words)
}

// another is this program in a role, run by the words of a command before it.
func another(role string, before ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	words := append(before, self)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// lastCore is for what is attacked, the others are for the rest. With only one core, all share it.
func lastCore() string { return strconv.Itoa(cores() - 1) }

func otherCores() string {
	if cores() < 3 {
		return "0"
	}
	return fmt.Sprintf("0-%d", cores()-2)
}

// cores is how many the machine has, whichever of them this process may use.
func cores() int {
	text, _ := os.ReadFile("/proc/cpuinfo")
	if n := strings.Count(string(text), "processor\t:"); n > 0 {
		return n
	}
	return runtime.NumCPU()
}
