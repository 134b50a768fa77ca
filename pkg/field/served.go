package field

import (
	"maps"
	"strings"
)

// Served are the fields of a request that a handler gets to see: without those that have an underscore in the name, unless they are kept,
// and without what belongs to the engine that reads the request. h is by canonical names and stays as it is.
func Served(h map[string][]string, keepUnderscores bool) map[string][]string {
	out := maps.Clone(h)
	delete(out, "Proxy")
	delete(out, "Http2-Settings")
	maps.DeleteFunc(out, func(name string, _ []string) bool { return !keepUnderscores && strings.IndexByte(name, '_') >= 0 })
	for _, value := range out["Upgrade"] {
		if OffersH2C(value) { // the offer is declined, and the request served as HTTP/1.1
			delete(out, "Upgrade")
		}
	}
	return out
}

// OffersH2C reports whether a list of protocols has HTTP/2.
func OffersH2C(list string) bool { return Lists([]string{list}, "h2c") || Lists([]string{list}, "h2") }
