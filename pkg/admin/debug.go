package admin

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/usher-ingress/usher/pkg/explain"
	"github.com/usher-ingress/usher/pkg/route"
)

func (a *Admin) routes(w http.ResponseWriter, r *http.Request) {
	t := a.table(w)
	if t == nil {
		return
	}
	if name := r.FormValue("host"); name != "" {
		host := t.Hosts.Find(strings.ToLower(name))
		if host == nil {
			text(w, http.StatusNotFound, fmt.Sprintf("no Ingress declares host %q, and nothing wider covers it\n", name))
			return
		}
		t = only(t, host)
	}
	if wantsJSON(r) {
		writeJSON(w, tableJSON(t))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "generation %d\n", t.Generation)
	t.Print(w)
}

// only is t with nothing but one host and what it uses.
func only(t *route.Table, host *route.Host) *route.Table {
	small := &route.Table{Generation: t.Generation, Policy: t.Policy, Certificates: &route.Certificates{}}
	index := map[*route.Backend]int{}
	narrow := func(r *route.Route) *route.Route {
		if r == nil {
			return nil
		}
		c := *r
		if b := t.Backend(r); b != nil {
			if _, ok := index[b]; !ok {
				index[b] = len(small.Backends)
				small.Backends = append(small.Backends, b)
			}
			c.Backend = index[b]
		}
		return &c
	}
	h := *host
	var paths []*route.Route
	for _, r := range host.Paths.All() {
		paths = append(paths, narrow(r))
	}
	h.Paths, h.Default = route.NewPaths(paths), narrow(host.Default)
	small.Hosts = route.NewHosts([]*route.Host{&h})
	for _, c := range t.Certificates.Find(host.Name) {
		small.Certificates.Add(host.Name, c)
	}
	return small
}

func (a *Admin) diagnostics(w http.ResponseWriter, r *http.Request) {
	t := a.table(w)
	if t == nil {
		return
	}
	list := worstFirst(t.Diagnostics)
	if wantsJSON(r) {
		writeJSON(w, list)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, d := range list {
		fmt.Fprintln(w, d)
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "nothing is wrong")
	}
}

// worstFirst is never nil, so that it is a list in JSON too.
func worstFirst(all []route.Diagnostic) []route.Diagnostic {
	list := append([]route.Diagnostic{}, all...)
	slices.SortStableFunc(list, func(a, b route.Diagnostic) int { return cmp.Compare(weight(a.Severity), weight(b.Severity)) })
	return list
}

func weight(s route.Severity) int {
	return slices.Index([]route.Severity{route.Error, route.Warning, route.Info}, s)
}

func (a *Admin) backends(w http.ResponseWriter, r *http.Request) {
	t := a.table(w)
	if t == nil {
		return
	}
	list := a.backendsJSON(t)
	if wantsJSON(r) {
		writeJSON(w, list)
		return
	}
	columns(w, func(w io.Writer) {
		fmt.Fprintln(w, "BACKEND\tENDPOINT\tPOD\tCONDITION\tPROTOCOL\tSTATE\tIN FLIGHT\tREQUESTS\tFAILURES\tCONNECTIONS")
		for _, b := range list {
			b.print(w)
		}
	})
	for _, b := range list {
		if b.Reason != "" {
			fmt.Fprintf(w, "%s: 503 %s: %s\n", b.Name, b.Reason, b.Detail)
		}
	}
}

func (b *jsonBackend) print(w io.Writer) {
	if len(b.Endpoints) == 0 {
		fmt.Fprintf(w, "%s\tnone\t-\t-\t-\t-\t-\t-\t-\t-\n", b.Name)
	}
	for _, e := range b.Endpoints {
		start := fmt.Sprintf("%s\t%s\t%s\t%s", b.Name, e.Address, cmp.Or(e.Pod, "-"), e.Condition)
		for _, s := range e.Seen {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%d\n", start, s.Protocol, s.State, s.InFlight, s.Requests, s.Failures, s.Connections)
		}
		if len(e.Seen) == 0 {
			fmt.Fprintf(w, "%s\t-\tnot used yet\t0\t0\t0\t0\n", start)
		}
	}
}

func (a *Admin) certificates(w http.ResponseWriter, r *http.Request) {
	t := a.table(w)
	if t == nil {
		return
	}
	list := certificatesJSON(t.Certificates, a.now())
	if wantsJSON(r) {
		writeJSON(w, list)
		return
	}
	columns(w, func(w io.Writer) {
		fmt.Fprintln(w, "SECRET\tKEY\tEXPIRES\tIN\tSERVED FOR\tVALID FOR")
		for _, c := range list {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Secret, c.Key, c.Until.UTC().Format(time.RFC3339), c.remaining(),
				strings.Join(c.ServedFor, " "), strings.Join(c.Names, " "))
		}
	})
}

func (a *Admin) authority(w http.ResponseWriter, r *http.Request) {
	if a.options.Authority == nil {
		text(w, http.StatusNotFound, noAuthority)
		return
	}
	pem, err := a.options.Authority(r.Context())
	switch {
	case err != nil:
		text(w, http.StatusInternalServerError, err.Error()+"\n")
	case pem == nil:
		text(w, http.StatusNotFound, noAuthority)
	default:
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(pem)
	}
}

const noAuthority = "there is no internal CA; --acme-ca internal makes one\n"

func (a *Admin) explain(w http.ResponseWriter, r *http.Request) {
	t := a.table(w)
	if t == nil {
		return
	}
	request, err := explain.ParseQuery(r.URL.Query())
	if err != nil {
		text(w, http.StatusBadRequest, err.Error()+"\n")
		return
	}
	request.Now = a.now()
	explanation, err := a.options.Explain(t, request)
	if err != nil {
		text(w, http.StatusBadRequest, err.Error()+"\n")
		return
	}
	if b := explanation.Backend; b != nil {
		service, _, _ := strings.Cut(b.Name, ":")
		explanation.Remember(a.memory(service))
	}
	if wantsJSON(r) {
		writeJSON(w, explanation)
		return
	}
	text(w, http.StatusOK, explanation.Text(r.FormValue("verbose") == "true"))
}

// memory says how the requests to an address of a Service have fared, by the protocol that fares worst.
func (a *Admin) memory(service string) func(address string) explain.Memory {
	worst := map[string]explain.Memory{}
	for _, s := range a.options.Endpoints() {
		if m, known := worst[s.Address]; s.Service == service && (!known || s.Failing > m.Failing) {
			worst[s.Address] = explain.Memory{State: s.State, Failing: s.Failing, Last: s.LastFailure}
		}
	}
	return func(address string) explain.Memory { return worst[address] }
}
