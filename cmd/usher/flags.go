package main

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/usher-ingress/usher/pkg/object"
	"github.com/usher-ingress/usher/pkg/resolve"
	"k8s.io/apimachinery/pkg/labels"
)

// Flags have ingress-nginx's names where the meaning is the same. Those of one purpose sit in one struct, which registers them and
// turns them into options; whoever needs objects at all (serve, lint, explain) has objectFlags.

const (
	ownController   = "usher.dev/ingress-controller"
	nginxController = "k8s.io/ingress-nginx"
	ownPrefix       = "usher.dev/"

	sharedHosts, ownHosts = "shared", "namespace" // of --host-ownership
)

// objectFlags say where objects are read from and which Ingresses are ours.
type objectFlags struct {
	manifests  string
	kubeconfig string
	apiserver  string

	ingressClass       string
	controllerClass    string
	classByName        bool
	withoutClass       bool
	namespace          string
	namespaceSelector  string
	ingressSelector    string
	secretsByName      bool
	pods               bool // --explain-pods, of serve; commands that read once read them anyway
	configMap          string
	defaultCertificate string
	sessionKey         string
	ech                string
	defaultBackend     string
	annotationsPrefix  string
	allowUpstream      []string
	disableCatchAll    bool
	hostOwnership      choice
	passthrough        bool
	tcpServices        string
	udpServices        string
	zone               string

	set *pflag.FlagSet
}

func (f *objectFlags) register(set *pflag.FlagSet) {
	f.set = set
	set.StringVar(&f.manifests, "manifests", "", "read objects from the YAML and JSON files of this `folder` (or of one file) instead of a cluster")
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "read objects from the cluster of this kubeconfig `file`; without it and --manifests, from the cluster around this Pod")
	set.StringVar(&f.apiserver, "apiserver-host", "", "`URL` of the API server, over that of the kubeconfig")
	set.StringVar(&f.ingressClass, "ingress-class", "usher", "class `name` of ours in the annotation kubernetes.io/ingress.class")
	set.StringVar(&f.controllerClass, "controller-class", ownController, "spec.`controller` of the IngressClasses that are ours; "+nginxController+" adopts those of ingress-nginx, see 'usher serve --help'")
	set.BoolVar(&f.classByName, "ingress-class-by-name", false, "also claim Ingresses whose spec.ingressClassName is --ingress-class, whoever controls that class")
	set.BoolVar(&f.withoutClass, "watch-ingress-without-class", false, "also claim Ingresses that name no class")
	set.StringVar(&f.namespace, "watch-namespace", "", "read this `namespace` only; a Role there is then enough")
	set.StringVar(&f.namespaceSelector, "watch-namespace-selector", "", "read only namespaces whose labels match this `selector`, such as team=shop")
	set.StringVar(&f.ingressSelector, "ingress-selector", "", "read only Ingresses whose labels match this `selector`, such as team=shop,tier!=internal")
	set.BoolVar(&f.secretsByName, "watch-secrets-by-name", false, "read each Secret that an Ingress names by a watch of its own, so that no right to read all Secrets is needed")
	set.StringVar(&f.configMap, "configmap", "", "`namespace/name` of the ConfigMap with controller-wide settings")
	set.StringVar(&f.sessionKey, "session-key-secret", "", "`namespace/name` of the Secret whose \"key\" signs session cookies (\"previous\" is accepted too); without it the key is derived from the UID of the IngressClass, or else of the ConfigMap that --configmap names, or random for each process if there is neither")
	set.StringVar(&f.defaultCertificate, "default-ssl-certificate", "", "`namespace/name` of the TLS Secret for names no other certificate covers")
	set.StringVar(&f.ech, "ech-secret", "", "`namespace/name` of the Secret with keys of Encrypted Client Hello, see 'usher ech --help'")
	set.StringVar(&f.defaultBackend, "default-backend-service", "", "`namespace/name` of the Service for requests nothing claims; without it they are answered 404")
	set.StringVar(&f.annotationsPrefix, "annotations-prefix", "nginx.ingress.kubernetes.io", "`prefix` of annotations honoured besides usher.dev")
	set.StringSliceVar(&f.allowUpstream, "allow-upstream-cidr", nil, "let backends have addresses in these `CIDRs`, although they are loopback, link-local, cloud metadata or the API server's")
	set.BoolVar(&f.disableCatchAll, "disable-catch-all", false, "ignore rules without a host and Ingresses with a default backend only")
	f.hostOwnership = choice{sharedHosts, []string{sharedHosts, ownHosts}}
	set.Var(&f.hostOwnership, "host-ownership", "whether namespaces may share a host, which belongs to that of its oldest Ingress: shared lets others have paths that are free, namespace refuses them, and default backends of all traffic likewise")
	set.BoolVar(&f.passthrough, "enable-ssl-passthrough", false, "honour the annotation ssl-passthrough, by which TLS of a host is not ended here; paths that ask for it without this answer 503")
	set.StringVar(&f.tcpServices, "tcp-services-configmap", "", "`namespace/name` of the ConfigMap of TCP services: \"PORT\": namespace/service:port[:PROXY][:PROXY]")
	set.StringVar(&f.udpServices, "udp-services-configmap", "", "`namespace/name` of a ConfigMap of UDP services, each of which is reported as not served")
	set.StringVar(&f.zone, "zone", "", "`zone` this Usher runs in; endpoints hinted for it are preferred")
}

// adopts reports whether this Usher takes over the IngressClasses of ingress-nginx.
func (f *objectFlags) adopts() bool { return f.controllerClass == nginxController }

// check reports the first flag whose value cannot be used.
func (f *objectFlags) check() error {
	if f.manifests != "" && f.kubeconfig != "" {
		return usagef("--manifests %q and --kubeconfig %q: want one of them", f.manifests, f.kubeconfig)
	}
	if f.manifests != "" {
		if _, err := os.Stat(f.manifests); err != nil {
			return usagef("--manifests %q: want a folder or file that exists", f.manifests)
		}
	}
	if f.namespace != "" && f.namespaceSelector != "" {
		return usagef("--watch-namespace %q and --watch-namespace-selector %q: want one of them", f.namespace, f.namespaceSelector)
	}
	if f.adopts() && !f.set.Changed("ingress-class") {
		f.ingressClass = "nginx" // ingress-nginx's default, which its users' annotations hold
	}
	if _, err := parseSelector("watch-namespace-selector", f.namespaceSelector); err != nil {
		return err
	}
	if _, err := parseSelector("ingress-selector", f.ingressSelector); err != nil {
		return err
	}
	_, err := f.resolveOptions()
	return err
}

// parseSelector reads a label selector; an empty one is nil.
func parseSelector(flag, value string) (labels.Selector, error) {
	if value == "" {
		return nil, nil
	}
	selector, err := labels.Parse(value)
	if err != nil {
		return nil, usagef("--%s %q: want a label selector such as team=shop: %v", flag, value, err)
	}
	return selector, nil
}

func (f *objectFlags) resolveOptions() (resolve.Options, error) {
	o := resolve.Options{
		ControllerClass: f.controllerClass,
		IngressClass:    f.ingressClass,
		ClassByName:     f.classByName,
		WithoutClass:    f.withoutClass,
		DisableCatchAll: f.disableCatchAll,
		OwnPathsOnly:    f.hostOwnership.value == ownHosts,
		Passthrough:     f.passthrough,
		AllowLoopback:   f.manifests != "",
		Zone:            f.zone,
		SessionKey:      []byte(rand.Text()),
	}
	for _, k := range []struct {
		flag, value string
		key         *object.Key
	}{
		{"configmap", f.configMap, &o.ConfigMap},
		{"default-ssl-certificate", f.defaultCertificate, &o.DefaultCertificate},
		{"session-key-secret", f.sessionKey, &o.StickySecret},
		{"ech-secret", f.ech, &o.ECHSecret},
		{"default-backend-service", f.defaultBackend, &o.DefaultBackend},
		{"tcp-services-configmap", f.tcpServices, &o.TCPServices},
		{"udp-services-configmap", f.udpServices, &o.UDPServices},
	} {
		key, err := parseKey(k.flag, k.value)
		if err != nil {
			return o, err
		}
		*k.key = key
	}
	o.AnnotationPrefixes = []string{ownPrefix}
	if prefix := strings.TrimSuffix(f.annotationsPrefix, "/") + "/"; prefix != "/" && prefix != ownPrefix {
		o.AnnotationPrefixes = append(o.AnnotationPrefixes, prefix)
	}
	var err error
	o.AllowUpstream, err = parseCIDRs("allow-upstream-cidr", f.allowUpstream)
	return o, err
}

// parseKey reads "namespace/name"; an empty value is the empty Key.
func parseKey(flag, value string) (object.Key, error) {
	if value == "" {
		return object.Key{}, nil
	}
	namespace, name, ok := strings.Cut(value, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		return object.Key{}, usagef("--%s %q: want namespace/name", flag, value)
	}
	return object.Key{Namespace: namespace, Name: name}, nil
}

func parseCIDRs(flag string, values []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, v := range values {
		prefix, err := netip.ParsePrefix(v)
		if err != nil {
			return nil, usagef("--%s %q: want a CIDR such as 10.0.0.0/8", flag, v)
		}
		out = append(out, prefix.Masked())
	}
	return out, nil
}

// seconds is a time flag as ingress-nginx writes it, "30", or as Go does, "30s".
type seconds time.Duration

func (s *seconds) String() string { return time.Duration(*s).String() }
func (s *seconds) Type() string   { return "time" }

func (s *seconds) Set(v string) error {
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		*s = seconds(time.Duration(n) * time.Second)
		return nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return fmt.Errorf("want seconds, as 30, or a time with its unit, as 30s")
	}
	*s = seconds(d)
	return nil
}

// choice is a flag with a closed list of values.
type choice struct {
	value string
	from  []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.from, "|") }

func (c *choice) Set(v string) error {
	for _, f := range c.from {
		if v == f {
			c.value = v
			return nil
		}
	}
	return fmt.Errorf("want %s", strings.Join(c.from, " or "))
}
