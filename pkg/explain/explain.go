// Package explain says why a request gets the answer it gets: which host, rule and path claim it and what lost to them, under which
// settings, to which endpoints, behind which certificate; or the reason and exact cause of the 404, 502 or 503.
//
// It has no rules of its own. Explain has package decide make the decision about the request, as the request path does, by an Env that
// answers without acting, and puts the Decision into words. So it can be asked about a folder of files, a cluster, or a running Usher, and
// gives the same Explanation for the same Table.
package explain

import (
	"time"

	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// Explanation is everything Explain found out, for a person (Text) or a program (its JSON form, which is stable).
type Explanation struct {
	Request     Understood         `json:"request"`
	Answer      Answer             `json:"answer"`
	Phases      []Step             `json:"phases"`
	Host        *Host              `json:"host,omitempty"`
	Path        *Path              `json:"path,omitempty"`
	Lost        []Candidate        `json:"lost,omitempty"`
	Near        []Candidate        `json:"near,omitempty"`
	Settings    []Setting          `json:"settings,omitempty"`
	Backend     *Backend           `json:"backend,omitempty"`
	Certificate *Certificate       `json:"certificate,omitempty"`
	ClientCert  *ClientCert        `json:"clientCertificate,omitempty"`
	Sent        *Sent              `json:"sent,omitempty"`
	Diagnostics []route.Diagnostic `json:"diagnostics,omitempty"`
	Generation  uint64             `json:"generation"`
}

// Understood is the request as the proxy would see it.
type Understood struct {
	Method     string `json:"method"`
	Scheme     string `json:"scheme"`
	Host       string `json:"host"`
	Path       string `json:"path"`
	Normalised string `json:"normalised"`
	Client     string `json:"client"`
}

// Answer is who answers, and with what.
type Answer struct {
	// By is "endpoint" when the request is forwarded, otherwise "usher".
	By       string        `json:"by"`
	Status   int           `json:"status,omitempty"` // 0 when an endpoint decides it
	Reason   policy.Reason `json:"reason,omitempty"`
	Meaning  string        `json:"meaning,omitempty"` // of the reason
	Cause    string        `json:"cause,omitempty"`   // in this case, with names
	Cure     string        `json:"cure,omitempty"`
	Location string        `json:"location,omitempty"`
}

// Who answers.
const (
	ByEndpoint = "endpoint"
	ByUsher    = "usher"
)

// Failed reports whether Usher itself answers with a 4xx or 5xx.
func (a Answer) Failed() bool { return a.By == ByUsher && a.Status >= 400 }

// Step is one phase and what came of it; a phase that was not reached is not listed.
type Step struct {
	Phase   policy.Phase `json:"phase"`
	Outcome string       `json:"outcome"`
}

// Host is the virtual host that claims the request.
type Host struct {
	Name   string `json:"name"`
	Match  string `json:"match"` // "exact", "wildcard" or "host-less"
	TLS    bool   `json:"tls"`
	Origin string `json:"origin"`
}

// Path is the route that was taken.
type Path struct {
	Path   string `json:"path,omitempty"`
	Type   string `json:"type"` // "Exact", "Prefix" or "default backend"
	Origin string `json:"origin"`
}

// Candidate is a route or host that did not get the request, and why.
type Candidate struct {
	Host   string `json:"host"`
	Path   string `json:"path,omitempty"`
	Type   string `json:"type,omitempty"`
	Origin string `json:"origin,omitempty"`
	Why    string `json:"why"`
}

// Setting is one effective setting of the route.
type Setting struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Origin  string `json:"origin"`
	Written bool   `json:"written"` // somebody wrote it; otherwise the default applies
}

// Backend is where the route goes.
type Backend struct {
	Name      string     `json:"name"`
	Service   string     `json:"service"`
	Port      string     `json:"port"`
	Protocol  string     `json:"protocol"`
	Origin    string     `json:"origin,omitempty"` // of the Service; empty when there is none
	Detail    string     `json:"detail,omitempty"` // why there is no endpoint
	TLS       string     `json:"tls,omitempty"`    // what is wanted of TLS to endpoints
	Endpoints []Endpoint `json:"endpoints,omitempty"`
}

// Sent is the request as an endpoint gets it.
type Sent struct {
	Target string              `json:"target"`
	Host   string              `json:"host"`
	Header map[string][]string `json:"header"`
}

// Endpoint is one address behind the backend.
type Endpoint struct {
	Address string `json:"address"`
	State   string `json:"state"` // "ready", "serving", "draining" or "unready"
	Pod     string `json:"pod,omitempty"`
	Node    string `json:"node,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Seen    string `json:"seen,omitempty"` // how requests to it have fared; only a running Usher knows, see Remember
}

// Certificate is what answers the TLS handshake.
type Certificate struct {
	Names  []string  `json:"names,omitempty"`
	Secret string    `json:"secret,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	Match  string    `json:"match"`          // "name", "default" or "self-signed"
	Why    string    `json:"why,omitempty"`  // it is not a certificate for this name
	Note   string    `json:"note,omitempty"` // expired, not valid yet, wrong name
}

// ClientCert is what is wanted of the client's certificate.
type ClientCert struct {
	Verify     string `json:"verify"` // "on", "off", "optional" or "optional_no_ca"
	Depth      int    `json:"depth"`
	CommonName string `json:"commonName,omitempty"` // an expression
	Secret     string `json:"secret,omitempty"`     // with the CAs; empty where they cannot be used
	CAs        int    `json:"cas"`
	Lists      int    `json:"revocationLists"`
	Origin     string `json:"origin"`
}

// Explain finds out what t does with r. It fails only when r cannot be read as a request at all.
func Explain(t *route.Table, r Request) (*Explanation, error) {
	a, err := r.parse()
	if err != nil {
		return nil, err
	}
	x := &run{table: t, asked: a, out: &Explanation{Generation: t.Generation}}
	x.all()
	return x.out, nil
}
