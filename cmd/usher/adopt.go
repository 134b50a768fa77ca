package main

import (
	"slices"
	"sort"
	"strings"

	"github.com/spf13/pflag"
)

// Adopt mode (--controller-class k8s.io/ingress-nginx) takes over a Deployment's arguments as they are. Flags of ingress-nginx that
// Usher does not have are then accepted: those that have no meaning here are listed once as ignored, those that would open or close
// something are reported one by one. Without adopt mode they are unknown flags like any other.

// adoptedFlags are those flags, as given.
type adoptedFlags struct{ given map[string]string }

// ignoredFlags have no meaning here.
const ignoredFlags = `alsologtostderr bucket-factor deep-inspect default-server-port disable-full-test disable-sync-events
dynamic-configuration-retries election-ttl enable-annotation-validation enable-metrics enable-ssl-chain-completion
enable-topology-aware-routing exclude-socket-metrics health-check-timeout internal-logger-address log_backtrace_at
log_dir log_file log_file_max_size logtostderr metrics-per-undefined-host monitor-max-batch-size one_output
post-shutdown-grace-period profiler-address profiler-port report-status-classes size-buckets skip_headers skip_log_headers
ssl-passthrough-proxy-port status-port status-update-interval stderrthreshold stream-port sync-period sync-rate-limit
validating-webhook-certificate validating-webhook-key vmodule`

// switches are those of both lists that need no value.
const switches = `alsologtostderr deep-inspect disable-full-test disable-leader-election disable-svc-external-name disable-sync-events
enable-annotation-validation enable-metrics enable-ssl-chain-completion enable-topology-aware-routing
exclude-socket-metrics logtostderr metrics-per-undefined-host one_output report-status-classes
skip_headers skip_log_headers`

// warnedFlags would open, close or answer something, with what their absence means.
func warnedFlags() map[string]string {
	return map[string]string{
		"certificate-authority":     "the API server's CA is taken from the kubeconfig or the Pod's service account",
		"disable-leader-election":   "replicas always elect the one that writes status",
		"disable-svc-external-name": "Services of type ExternalName are served; addresses that Ingresses may not reach stay refused",
		"health-check-path":         "health is served at /healthz and /readyz only",
		"maxmind-edition-ids":       "Usher has no GeoIP",
		"maxmind-license-key":       "Usher has no GeoIP",
		"maxmind-mirror":            "Usher has no GeoIP",
		"maxmind-retries-count":     "Usher has no GeoIP",
		"maxmind-retries-timeout":   "Usher has no GeoIP",
		"validating-webhook":        "this release has no admission webhook; remove ingress-nginx's ValidatingWebhookConfiguration, or Ingresses cannot be changed",
	}
}

func (f *adoptedFlags) register(set *pflag.FlagSet) {
	f.given = map[string]string{}
	names := strings.Fields(ignoredFlags)
	for name := range warnedFlags() {
		names = append(names, name)
	}
	for _, name := range names {
		flag := set.VarPF(adopted{f.given, name}, name, "", "ingress-nginx's; accepted in adopt mode")
		flag.Hidden = true
		if slices.Contains(strings.Fields(switches), name) {
			flag.NoOptDefVal = "true"
		}
	}
}

// check refuses the flags outside of adopt mode.
func (f *adoptedFlags) check(adopting bool) error {
	if adopting {
		return nil
	}
	for _, name := range f.names() {
		return usagef("unknown flag: --%s; it is ingress-nginx's, and accepted only with --controller-class %s", name, nginxController)
	}
	return nil
}

func (f *adoptedFlags) names() []string {
	names := make([]string, 0, len(f.given))
	for name := range f.given {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// ignored are the names of the flags that have no meaning here.
func (f *adoptedFlags) ignored() []string {
	var out []string
	warned := warnedFlags()
	for _, name := range f.names() {
		if warned[name] == "" {
			out = append(out, "--"+name)
		}
	}
	return out
}

// warnings say what the other flags do not do. One that was switched off asks for nothing.
func (f *adoptedFlags) warnings() []string {
	var out []string
	warned := warnedFlags()
	for _, name := range f.names() {
		if why := warned[name]; why != "" && f.given[name] != "false" && f.given[name] != "" {
			out = append(out, "--"+name+" "+f.given[name]+" is not honoured: "+why)
		}
	}
	return out
}

// adopted notes the value of one such flag.
type adopted struct {
	given map[string]string
	name  string
}

func (a adopted) String() string     { return "" }
func (a adopted) Type() string       { return "value" }
func (a adopted) Set(v string) error { a.given[a.name] = v; return nil }
