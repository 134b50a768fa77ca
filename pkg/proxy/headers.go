package proxy

import (
	"net/http"
	"strings"

	"github.com/usher-ingress/usher/pkg/pool"
)

// Where the values of single-valued fields stand in exchange.values.
const (
	slotHSTS = iota
	slotServer
	slotReason
	slotReplaced // and those after it
	valueSlots   = slotReplaced + 4
)

// put sets a field to one value without allocating. The value is valid until the end of the exchange, which is as long as anybody may
// look at the map.
func (x *exchange) put(h http.Header, name string, slot int, value string) {
	x.values[slot] = value
	h[name] = x.values[slot : slot+1 : slot+1]
}

// headers makes the request that goes upstream. The client's own header map is edited in place and sent on.
func (x *exchange) headers() bool {
	h := x.r.Header
	x.edit(h)
	x.out = &x.blank
	if x.body != nil {
		x.out = new(http.Request) // a transport may hold it for a moment longer than the request takes
	}
	*x.out = *x.r
	x.out.Body = http.NoBody
	x.url.Opaque, x.url.RawQuery, _ = strings.Cut(x.Ask.Target, "?")
	x.url.ForceQuery = x.url.RawQuery == "" && len(x.url.Opaque) < len(x.Ask.Target)
	x.out.URL = &x.url
	if x.body != nil {
		target := x.url
		x.out.URL = &target
	}
	x.out.RequestURI = ""
	x.out.Close = false
	x.out.Host = x.TargetHost()
	if x.Web.Text {
		x.out.ContentLength = -1
	}
	if x.Upgrade {
		x.askExtended(h)
	}
	x.call.Timeouts, x.call.MaxConns = x.timeouts(), x.Set.Overload.MaxConnections
	x.call.Fresh = x.body != nil && x.body.length > replayBound && !x.body.whole
	x.call.Fields = x.Edits.Add
	return false
}

// edit makes of the client's fields what the endpoint gets of them.
func (x *exchange) edit(h http.Header) {
	for _, name := range x.Edits.Remove {
		delete(h, name)
	}
	for i, f := range x.Edits.Replace {
		x.put(h, f.Name, slotReplaced+i, f.Value)
	}
}

// say adds a field to the request, besides what the client's map holds.
func (x *exchange) say(name, value string) {
	x.Edits.Add = append(x.Edits.Add, pool.Field{Name: name, Value: value})
}
