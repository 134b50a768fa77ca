package resolve

import (
	"fmt"

	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/policy"
	"github.com/usher-ingress/usher/pkg/route"
)

// readTLS reads spec.tls. An entry without hosts names those of the rules; of those beyond the bound one says it all.
func (in *ingress) readTLS() {
	room, all := mostPaths, false
	for i := range in.object.Spec.TLS {
		names := in.namesOf(i)
		if room >= 0 && names > room {
			in.reportTooMany(fmt.Sprintf("spec.tls[%d]", i), "names in spec.tls", in.declaredNames(),
				"this entry and all after it are taken without their Secrets: the default certificate is served for their hosts")
			room = -1
		}
		if listed := len(in.object.Spec.TLS[i].Hosts); room >= 0 || listed > 0 || !all {
			in.readTLSEntry(i, room < 0)
			all = all || listed == 0
		}
		room -= names
	}
}

// namesOf counts the names of an entry.
func (in *ingress) namesOf(i int) int {
	if n := len(in.object.Spec.TLS[i].Hosts); n > 0 {
		return n
	}
	return max(1, len(in.hosts))
}

func (in *ingress) declaredNames() int {
	n := 0
	for i := range in.object.Spec.TLS {
		n += in.namesOf(i)
	}
	return n
}

// readTLSEntry reads one entry, without its Secret if it is beyond the bound.
func (in *ingress) readTLSEntry(i int, beyond bool) {
	written := &in.object.Spec.TLS[i]
	e := tlsEntry{field: fmt.Sprintf("spec.tls[%d]", i), named: written.SecretName != "" && !beyond}
	e.secret = object.Key{Namespace: in.object.Namespace, Name: written.SecretName}
	for j, host := range written.Hosts {
		name, err := hostName(host)
		if err != nil || name == "" {
			in.reportTLSHost(fmt.Sprintf("%s.hosts[%d]", e.field, j), host, err)
			continue
		}
		e.hosts = append(e.hosts, name)
	}
	if len(written.Hosts) > 0 && len(e.hosts) == 0 {
		return
	}
	in.entries = append(in.entries, e)
}

func (in *ingress) reportTLSHost(field, host string, err error) {
	if err == nil {
		err = fmt.Errorf("want a DNS name")
	}
	in.report(route.Diagnostic{
		Severity: route.Error, Reason: policy.BadHost, Origin: in.at(field),
		Message: fmt.Sprintf("host %q: %v", host, err), Effect: "it gets no certificate",
	})
}
