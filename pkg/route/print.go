package route

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/usher-ingress/usher/pkg/policy"
)

// Print writes the Table as text for people, the same for equal Tables: hosts in the order of their names with their paths in the
// order they are tried, then the default, backends and certificates.
//
//	host shop.example.com, TLS
//	  Exact  /cart  -> demo/cart:80  by Ingress demo/shop spec.rules[0].http.paths[0]
//	  Prefix /  -> demo/web:80  by Ingress demo/shop spec.rules[0].http.paths[1]  ssl-redirect=false
//	         instead of Ingress demo/new spec.rules[0].http.paths[0]
//	backend demo/cart:80  10.0.0.1:8080 10.0.0.2:8080
//	backend demo/web:80  503 no-endpoints: Service demo/web has no endpoints: its selector app=web matches no running Pod
//	certificate shop.example.com  Secret demo/shop-tls (ECDSA)
//
// What follows the Origin of a route are the settings somebody wrote for it, beyond the controller's own.
func (t *Table) Print(w io.Writer) {
	p := printer{Writer: w, table: t, settings: map[*policy.Set]string{}}
	p.hosts()
	if t.Default != nil {
		p.printf("any other request\n")
		p.route("default", t.Default)
	}
	p.streams()
	p.backends()
	p.certificates()
}

// String is what Print writes.
func (t *Table) String() string {
	var b strings.Builder
	t.Print(&b)
	return b.String()
}

type printer struct {
	io.Writer
	table    *Table
	settings map[*policy.Set]string // as text; routes share their Sets
	global   []policy.Setting       // the controller's
}

func (p *printer) printf(format string, args ...any) { _, _ = fmt.Fprintf(p, format, args...) }

func (p *printer) hosts() {
	hosts := p.table.Hosts.All()
	slices.SortFunc(hosts, func(a, b *Host) int { return cmp.Compare(a.Name, b.Name) })
	for _, h := range hosts {
		name := "host " + h.Name
		if h.Name == "" {
			name = "any host"
		}
		if h.TLS {
			name += ", TLS"
		}
		if h.Passthrough != nil {
			name += ", passed through"
		}
		if h.Handshake != nil {
			name += ", handshakes " + h.Handshake.String()
		}
		if h.Asks != nil {
			name += ", asks for client certificates"
		}
		p.printf("%s\n", name)
		for _, r := range h.Paths.All() {
			p.route(fmt.Sprintf("%-6s %s", r.Type, r.Path), r)
		}
		if h.Default != nil {
			p.route("default", h.Default)
		}
	}
}

func (p *printer) streams() {
	for i := range p.table.TCP {
		s := &p.table.TCP[i]
		line := fmt.Sprintf("port %d/TCP  -> %s", s.Port, p.goal(&Route{Backend: s.Stream.Backend, Broken: s.Stream.Broken}))
		if s.ProxyHeader {
			line += ", PROXY protocol in"
		}
		if s.Stream.ProxyProtocol > 0 {
			line += ", PROXY protocol out"
		}
		p.printf("%s  by %s\n", line, s.Stream.Origin)
	}
}

func (p *printer) route(what string, r *Route) {
	line := "  " + what + "  -> " + p.goal(r)
	if r.Origin.IsDefault() {
		line += "  by the controller"
	} else {
		line += "  by " + r.Origin.String()
	}
	p.printf("%s%s%s\n", line, p.differences(r.Policy), trust(r))
	if c := r.Canary; c != nil {
		p.printf("         canary  -> %s  by %s  %s\n", p.goal(&Route{Backend: c.Backend, Broken: c.Broken}), c.Origin, c.Policy)
	}
	for _, o := range r.Shadowed {
		p.printf("         instead of %s\n", o)
	}
}

// trust says whose clients a route lets in and which endpoints it trusts.
func trust(r *Route) (text string) {
	if a := r.ClientAuth; a != nil {
		switch {
		case a.Broken != "":
			text = "  clients not judged (503 " + string(a.Broken) + ")"
		default:
			text = fmt.Sprintf("  clients %s by %s", a.Policy.Verify, a.CAs.Secret)
		}
	}
	if u := r.UpstreamTLS; u != nil {
		switch {
		case u.Broken != "":
			text += "  TLS to endpoints broken (503 " + string(u.Broken) + ")"
		default:
			text += "  TLS to endpoints as " + u.Origin.Object.String() + " says"
		}
	}
	return text
}

func (p *printer) goal(r *Route) string {
	if r.Broken != "" {
		return "503 " + string(r.Broken)
	}
	if b := p.table.Backend(r); b != nil {
		return b.Name
	}
	return "nowhere"
}

// differences are the settings that somebody wrote for these routes, beyond the controller's own.
func (p *printer) differences(s *policy.Set) string {
	if s == nil || s == p.table.Policy {
		return ""
	}
	text, ok := p.settings[s]
	if !ok {
		text = p.describe(s)
		p.settings[s] = text
	}
	return text
}

func (p *printer) describe(s *policy.Set) string {
	var b strings.Builder
	for _, setting := range s.Settings() {
		if !setting.Origin.IsDefault() && !p.isGlobal(setting) {
			fmt.Fprintf(&b, "  %s=%s", setting.Key.ID(), setting.Value)
		}
	}
	if s.Deny != "" {
		fmt.Fprintf(&b, "  closed (503 %s)", s.Deny)
	}
	return b.String()
}

// isGlobal reports whether a setting is the controller's own.
func (p *printer) isGlobal(s policy.Setting) bool {
	if p.global == nil && p.table.Policy != nil {
		p.global = p.table.Policy.Settings()
	}
	return slices.Contains(p.global, s)
}

func (p *printer) backends() {
	backends := slices.Clone(p.table.Backends)
	slices.SortFunc(backends, func(a, b *Backend) int { return cmp.Compare(a.Name, b.Name) })
	for _, b := range backends {
		line := "backend " + b.Name
		if b.Protocol != policy.ProtocolUnset {
			line += " " + string(b.Protocol)
		}
		if b.ClientIP {
			line += " by client address"
		}
		line += "  "
		if b.Reason != "" {
			line += fmt.Sprintf("%d %s: %s", b.Reason.Explain().Status, b.Reason, b.Detail)
		} else {
			line += addresses(b.Endpoints)
		}
		if len(b.Draining) > 0 {
			line += "  draining " + addresses(b.Draining)
		}
		if len(b.Unready) > 0 {
			line += "  unused " + addresses(b.Unready)
		}
		p.printf("%s\n", line)
	}
}

func addresses(endpoints []Endpoint) string {
	var out []string
	for i := range endpoints {
		out = append(out, endpoints[i].Address())
	}
	return strings.Join(out, " ")
}

func (p *printer) certificates() {
	for _, o := range p.table.ACME {
		p.printf("certificate %s  ordered by ACME for %s\n", o.Name, o.Origin)
	}
	c := p.table.Certificates
	for _, name := range c.Names() {
		for _, certificate := range c.For(name) {
			p.printf("certificate %s  %s\n", name, describeCertificate(certificate))
		}
	}
	for _, host := range c.ApartHosts() {
		p.printf("certificate %s  never that of the wildcard above it\n", host)
	}
	if c != nil && c.Default != nil {
		p.printf("certificate of any other name  %s\n", describeCertificate(c.Default))
	}
}

func describeCertificate(c *Certificate) string {
	kind := "no key"
	if c.TLS != nil && c.TLS.Leaf != nil {
		kind = c.TLS.Leaf.PublicKeyAlgorithm.String()
	}
	return fmt.Sprintf("%s (%s)", c.Secret, kind)
}
