package policy

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The grammar of values is ingress-nginx's: booleans as Go's strconv.ParseBool, whole seconds without a unit, nginx sizes.

func parseBool(value string) (bool, error) {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return false, errors.New("want true or false")
	}
	return b, nil
}

// parseOnOff reads nginx's switches; true and false are accepted as well.
func parseOnOff(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "on", "true":
		return true, nil
	case "off", "false":
		return false, nil
	}
	return false, errors.New("want on or off")
}

// parseInt reads a whole number within [least, most].
func parseInt(value string, least, most int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		if most == math.MaxInt {
			return 0, fmt.Errorf("want a whole number, at least %d", least)
		}
		return 0, fmt.Errorf("want a whole number from %d to %d", least, most)
	}
	return n, nil
}

// parseSeconds reads whole seconds without a unit, at least one.
func parseSeconds(value string) (time.Duration, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > 365*24*3600 {
		return 0, errors.New("want whole seconds without a unit, at least 1")
	}
	return time.Duration(n) * time.Second, nil
}

// parseSize reads an nginx size: bytes, or a whole number followed by k, m or g.
func parseSize(value string) (int64, error) {
	digits, unit := value, int64(1)
	switch {
	case strings.HasSuffix(strings.ToLower(value), "k"):
		unit = 1 << 10
	case strings.HasSuffix(strings.ToLower(value), "m"):
		unit = 1 << 20
	case strings.HasSuffix(strings.ToLower(value), "g"):
		unit = 1 << 30
	}
	if unit > 1 {
		digits = value[:len(value)-1]
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, errors.New("want a size such as 512k, 8m or 1g")
	}
	return n * unit, nil
}

// parsePrefixes reads a comma-separated list of CIDRs and single addresses.
func parsePrefixes(value string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, item := range strings.Split(value, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		prefix, err := parsePrefix(item)
		if err != nil {
			return nil, fmt.Errorf("want a comma-separated list of CIDRs or addresses; %q is neither", item)
		}
		out = append(out, prefix)
	}
	return out, nil
}

func parsePrefix(item string) (netip.Prefix, error) {
	if strings.Contains(item, "/") {
		prefix, err := netip.ParsePrefix(item)
		return prefix.Masked(), err
	}
	addr, err := netip.ParseAddr(item)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// splitList splits a comma-separated list and drops empty items.
func splitList(v string) []string {
	var out []string
	for _, item := range strings.Split(v, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}
