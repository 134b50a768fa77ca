package policy

import "sync"

// Reason is the cause of an answer Usher makes itself, and of every Diagnostic: one closed list, the same word in the
// X-Usher-Reason header, the access log, the metric label, Events, lint and explain.
type Reason string

// Reasons for answers to a request.
const (
	NoHost           Reason = "no-host"
	NoPath           Reason = "no-path"
	NoService        Reason = "no-service"
	NoPort           Reason = "no-port"
	NoEndpoints      Reason = "no-endpoints"
	NoReadyEndpoints Reason = "no-ready-endpoints"
	EndpointRefused  Reason = "endpoint-refused"
	EndpointTimeout  Reason = "endpoint-timeout"
	EndpointReset    Reason = "endpoint-reset"
	EndpointStatus   Reason = "endpoint-status"
	EndpointDenied   Reason = "endpoint-denied"
	// LoopDetected is a request that has been at this backend already.
	LoopDetected Reason = "loop-detected"
	// EndpointUnresolved is a name, not an address: that of an ExternalName Service.
	EndpointUnresolved Reason = "endpoint-unresolved"
	BadResponse        Reason = "bad-response"
	BadRequest         Reason = "bad-request"
	BodyTooLarge       Reason = "body-too-large"
	RateLimited        Reason = "rate-limited"
	ConnectionLimit    Reason = "connection-limited"
	Overloaded         Reason = "overloaded"
	ClientClosed       Reason = "client-closed"
	HTTPSRedirect      Reason = "https-redirect"
	// Redirected is by temporal-redirect or permanent-redirect.
	Redirected Reason = "redirect"
	NotReady   Reason = "not-ready"
	// Misdirected is a request that came by the TLS of another host (RFC 9110 section 15.5.20).
	Misdirected Reason = "misdirected"
	Internal    Reason = "internal-error"

	NoClientCertificate     Reason = "no-client-certificate"
	BadClientCertificate    Reason = "bad-client-certificate"
	ClientCertificateDenied Reason = "client-certificate-denied"
	// EndpointUntrusted is an endpoint whose certificate does not pass proxy-ssl-verify.
	EndpointUntrusted Reason = "endpoint-untrusted"
	EndpointTLS       Reason = "endpoint-tls"
)

// Reasons found when objects are read; those with a status also answer requests.
const (
	SelectorMatchesNothing Reason = "selector-matches-nothing"
	TargetPortMismatch     Reason = "target-port-mismatch"
	BadBackend             Reason = "bad-backend"
	ResourceBackend        Reason = "resource-backend"
	ExternalNameRefused    Reason = "external-name-refused"
	ExternalNamePort       Reason = "external-name-port"
	BadAnnotation          Reason = "bad-annotation"
	UnknownAnnotation      Reason = "unknown-annotation"
	UnsupportedAnnotation  Reason = "unsupported-annotation"
	RefusedAnnotation      Reason = "refused-annotation"
	IneffectiveAnnotation  Reason = "ineffective-annotation"
	BadConfigMapKey        Reason = "bad-configmap-key"
	UnsupportedConfigMap   Reason = "unsupported-configmap-key"
	UnknownConfigMapKey    Reason = "unknown-configmap-key"
	BadHost                Reason = "bad-host"
	BadPath                Reason = "bad-path"
	PathConflict           Reason = "path-conflict"
	DefaultBackendConflict Reason = "default-backend-conflict"
	EmptyRule              Reason = "empty-rule"
	TooManyRules           Reason = "too-many-rules"
	ClassIgnored           Reason = "class-ignored"
	ClassAmbiguous         Reason = "class-ambiguous"
	ClassParameters        Reason = "class-parameters"
	NoSecret               Reason = "no-secret"
	BadSecret              Reason = "bad-secret"
	CanaryUnmatched        Reason = "canary-unmatched"
	CertificateMismatch    Reason = "certificate-mismatch"
	CertificateExpired     Reason = "certificate-expired"
	CertificatePending     Reason = "certificate-pending"
	SecretNotWritten       Reason = "secret-not-written"
	CertificateConflict    Reason = "certificate-conflict"
	TrustEveryone          Reason = "trusts-every-client"
	RandomSessionKey       Reason = "random-session-key"
	BadInput               Reason = "bad-input"
	UnsupportedProtocol    Reason = "unsupported-protocol"
	CatchAllDisabled       Reason = "catch-all-disabled"
	NoConfigMap            Reason = "no-configmap"
	PortByTarget           Reason = "port-by-target-port"
	HostSettingConflict    Reason = "host-setting-conflict"
	HostNotOwned           Reason = "host-not-owned"
	HostShared             Reason = "host-shared"
	PassthroughPath        Reason = "passthrough-path"
	BadTCPService          Reason = "bad-tcp-service"
	UDPService             Reason = "udp-service"
	PortUnavailable        Reason = "port-unavailable"
	ClientCAUnavailable    Reason = "client-ca-unavailable"
	UpstreamTLSUnavailable Reason = "upstream-tls-unavailable"
)

// ReasonDoc explains a Reason to the person who meets it.
type ReasonDoc struct {
	Reason Reason
	Status int    // the HTTP status it answers with; 0 when it never answers a request
	Doc    string // what it means, one sentence
	Cure   string // what to do about it, one sentence
}

// Reasons lists every Reason with its meaning and cure, answers to requests first.
func Reasons() []ReasonDoc { return reasonList() }

// Explain returns the entry of r; an unknown reason gets an entry that says so.
func (r Reason) Explain() ReasonDoc {
	if d, ok := reasonIndex()[r]; ok {
		return d
	}
	return ReasonDoc{Reason: r, Doc: "This reason is not in the list."}
}

// Status is what a request is answered with for this reason; 503 where the reason alone does not say.
func (r Reason) Status() int {
	if status := r.Explain().Status; status != 0 {
		return status
	}
	return 503
}

var reasonIndex = sync.OnceValue(func() map[Reason]ReasonDoc {
	index := map[Reason]ReasonDoc{}
	for _, d := range reasonList() {
		index[d.Reason] = d
	}
	return index
})

func reasonList() []ReasonDoc { return append(answerReasons(), objectReasons()...) }

func answerReasons() []ReasonDoc {
	return []ReasonDoc{
		{NoHost, 404, "No Ingress declares this host, no wildcard covers it and no host-less rule exists.", "Compare the request's Host with `kubectl get ingress -A`; `usher explain` shows the nearest hosts."},
		{NoPath, 404, "The host is known, but none of its paths matches and it has no default backend.", "Add a path (`/` with pathType Prefix matches everything) or a spec.defaultBackend."},
		{NoService, 503, "The Service that the path names does not exist in the Ingress's namespace.", "Create the Service, or correct backend.service.name."},
		{NoPort, 503, "The Service exists but has no port of that name or number.", "Correct backend.service.port, or add the port to the Service."},
		{NoEndpoints, 503, "The Service has no endpoints at all: its selector matches no Pod, or it is scaled to zero.", "Compare the Service's selector with the Pods' labels: `kubectl get endpointslices -l kubernetes.io/service-name=NAME`."},
		{NoReadyEndpoints, 503, "The Service has endpoints, but none is ready or still serving.", "Look at the Pods' readiness probes: `kubectl describe pod`."},
		{EndpointRefused, 502, "Every endpoint that was tried refused the connection.", "Check that the container listens on the Service's targetPort, on all addresses rather than localhost."},
		{EndpointTimeout, 504, "An endpoint did not accept the connection, or did not answer, within its timeout.", "Find out why the application is slow, or raise proxy-connect-timeout / proxy-read-timeout (seconds)."},
		{EndpointReset, 502, "An endpoint closed the connection before it had answered.", "Look at the application's log for a crash or an early close; compare its keep-alive timeout with Usher's."},
		{EndpointStatus, 0, "An endpoint answered with a status that proxy-next-upstream lists, and another one was tried; it is found in usher_retries_total only.", "Look at the application's log; the access log's field upstream has each answer."},
		{EndpointDenied, 503, "The endpoint's address is one that Ingresses may not reach: loopback, link-local, cloud metadata, the API server or Usher itself.", "If it is meant, start Usher with --allow-upstream-cidr; Usher itself is never an endpoint."},
		{LoopDetected, 508, "The request came back: it was sent to this backend before, or has passed this replica 8 times.", "Look where the Service's endpoints lead: to Usher's own Service or load balancer, or to a proxy that sends every request there."},
		{EndpointUnresolved, 502, "The Service's externalName has no address.", "Look the name up from a Pod: `kubectl run -it --rm --image=busybox lookup -- nslookup NAME`."},
		{BadResponse, 502, "An endpoint answered something that is not valid HTTP, or a head over the limit.", "Check backend-protocol and the Service's appProtocol: plain HTTP sent to a TLS port looks like this."},
		{BadRequest, 400, "The request was malformed or ambiguous, and was not forwarded.", "The access log's error field names the rule; the fault is in the client or in a proxy before Usher."},
		{BodyTooLarge, 413, "The request body is larger than proxy-body-size allows.", "Raise proxy-body-size on the Ingress (\"0\" is no limit)."},
		{RateLimited, 503, "The client's address sent more requests than limit-rps or limit-rpm allows on this replica.", "Raise the limit or limit-burst-multiplier, or exempt the address by limit-allowlist; limit-req-status-code changes the status."},
		{ConnectionLimit, 503, "The client's address has as many requests in progress as limit-connections allows on this replica.", "Raise the limit, or exempt the address by limit-allowlist; limit-conn-status-code changes the status."},
		{Overloaded, 503, "As many requests are in flight as max-in-flight or max-in-flight-per-endpoint allows, and no place became free in queue-timeout.", "Add Pods, or raise the limit."},
		{ClientClosed, 499, "The client went away before the answer was complete.", "Nothing to do here; look at the client's timeout."},
		{HTTPSRedirect, 308, "The host has a TLS section, so plain HTTP is redirected to HTTPS.", "Set ssl-redirect: \"false\" on the Ingress to serve plain HTTP too."},
		{Redirected, 301, "The Ingress redirects every request by temporal-redirect or permanent-redirect.", "Remove the annotation to serve the path; permanent-redirect-code and temporal-redirect-code change the status."},
		{NotReady, 503, "Usher has not built its first table yet.", "Wait for /readyz; if it stays, look at Usher's log for the API server's answer."},
		{NoClientCertificate, 400, "The host wants a client certificate (auth-tls-secret), and the client showed none.", "Configure the client with a certificate by a CA of auth-tls-secret; plain HTTP has none, so leave ssl-redirect on."},
		{BadClientCertificate, 400, "The client's certificate does not pass: expired, revoked, too long a chain, or by no CA of auth-tls-secret.", "The access log's error field says why; renew the certificate, or complete ca.crt or ca.crl in the Secret."},
		{ClientCertificateDenied, 403, "The common name of the client's certificate does not match auth-tls-match-cn.", "The access log's error field names it; change auth-tls-match-cn, or the certificate."},
		{EndpointUntrusted, 502, "The endpoint's certificate does not pass proxy-ssl-verify.", "The access log's error field says why: compare the certificate with ca.crt of proxy-ssl-secret and with proxy-ssl-name."},
		{EndpointTLS, 502, "The TLS handshake with the endpoint failed.", "The access log's error field says how; check backend-protocol, proxy-ssl-protocols and proxy-ssl-ciphers, and whether the endpoint wants a client certificate."},
		{Misdirected, 421, "The request came on a TLS connection that was made for another host, with other handshake settings (versions, ciphers, client certificates) or ssl-passthrough.", "Nothing to do here: the client is to make a connection of its own for the host."},
		{Internal, 500, "Usher failed while it handled the request.", "This is a bug: report it with the log record of this request id."},
	}
}

func objectReasons() []ReasonDoc {
	return []ReasonDoc{
		{SelectorMatchesNothing, 503, "The Service's selector matches no Pod in its namespace.", "Correct the selector, or the labels of the Pods."},
		{TargetPortMismatch, 503, "The Service's named targetPort is declared by no Pod behind it.", "Name the container's port as the Service's targetPort does, or use a number."},
		{BadBackend, 503, "The backend of the path names no usable Service.", "Give backend.service a name and a port."},
		{ResourceBackend, 503, "The backend is a resource reference, which Usher does not serve.", "Use backend.service."},
		{ExternalNameRefused, 503, "The Service's externalName is one that Ingresses may not reach.", "Use a public name; loopback, link-local, cloud metadata and the API server are refused unless --allow-upstream-cidr opens them."},
		{ExternalNamePort, 502, "The Service of type ExternalName lists no port of the name that the path gives.", "Correct backend.service.port, give the port's number, or add the port to the Service."},
		{BadAnnotation, 503, "An annotation's value could not be used; where it restricts access, its paths stay closed.", "Correct the value as the message says."},
		{UnknownAnnotation, 0, "No option of this name exists, under either prefix.", "Correct the name, or remove the annotation."},
		{UnsupportedAnnotation, 503, "This ingress-nginx option is recognised but not supported by this release.", "Remove it, or wait for the release that supports it; one that restricts access keeps its paths closed (503)."},
		{RefusedAnnotation, 503, "This option pastes raw configuration or needs a WAF, and is never executed.", "Replace it by the typed option that does the same, see docs."},
		{IneffectiveAnnotation, 0, "This annotation has no effect here, and needs none.", "Remove it when convenient."},
		{BadConfigMapKey, 503, "A value of the ConfigMap could not be used; the default applies.", "Correct the value as the message says."},
		{UnsupportedConfigMap, 503, "This ConfigMap key is recognised but not supported by this release.", "Remove it, or wait for the release that supports it; one that restricts access keeps every path closed (503)."},
		{UnknownConfigMapKey, 0, "No ConfigMap key of this name exists.", "Correct the name, or remove the key."},
		{BadHost, 0, "A rule's host is not a valid name.", "Use a DNS name in lower case, at most with one leading `*.`."},
		{BadPath, 503, "A path is malformed.", "Start it with `/`, without `//`, `.` or `..` elements."},
		{PathConflict, 0, "Another, older Ingress already owns this host, path and path type.", "Remove one of the two; until then the older one wins."},
		{DefaultBackendConflict, 0, "Another, older Ingress already gives the default backend here.", "Remove one of the two; until then the older one wins."},
		{EmptyRule, 0, "A rule has no paths.", "Add http.paths, or a spec.defaultBackend."},
		{TooManyRules, 503, "The Ingress declares more paths or TLS names than one may; paths beyond answer 503, TLS entries beyond have the default certificate.", "Spread them over several Ingresses."},
		{ClassIgnored, 0, "The Ingress belongs to no class of this controller.", "Set spec.ingressClassName to one of this controller's classes."},
		{ClassAmbiguous, 0, "More than one IngressClass is marked as the default.", "Keep the annotation ingressclass.kubernetes.io/is-default-class on one of them."},
		{ClassParameters, 0, "The IngressClass's parameters could not be used.", "Name an existing ConfigMap: apiGroup empty, kind ConfigMap, scope Namespace."},
		{CanaryUnmatched, 0, "The canary has no Ingress to be a canary of: none has the same host, path and path type, or another canary has its place.", "Give it a host, path and pathType of the primary Ingress, and keep one canary for each."},
		{NoSecret, 0, "The TLS Secret does not exist, so the default certificate is served.", "Create the Secret in the Ingress's namespace, or correct secretName."},
		{BadSecret, 0, "The TLS Secret does not hold a usable certificate and key, so the default certificate is served.", "Give it tls.crt (PEM chain) and the matching tls.key."},
		{CertificateMismatch, 0, "The certificate does not cover the host, so the default certificate is served.", "Issue the certificate for this host, or correct secretName."},
		{CertificateExpired, 0, "The certificate has expired or is not valid yet; it is served all the same.", "Renew it."},
		{CertificatePending, 0, "The certificate is being ordered by ACME and is not there yet, so that another one answers, or the one that is there is not renewed.", "Wait, or mend what the message says: usually the CA cannot reach ports 80 and 443 under this name."},
		{SecretNotWritten, 0, "The certificate that ACME gave is not written to the Secret that the Ingress names; it is served all the same.", "Do what the message says; a Secret that Usher did not make is never written."},
		{CertificateConflict, 0, "Another, older Ingress already gives this host's certificate.", "Use one Secret per host."},
		{TrustEveryone, 0, "Forwarded headers or PROXY protocol are trusted from every client, which can then choose its own address.", "Set proxy-real-ip-cidr to the addresses of the load balancer."},
		{RandomSessionKey, 0, "The key of session cookies was made at random at the start, since neither an IngressClass nor the controller's ConfigMap gives one: other replicas, and the next start, have another.", "Give all replicas one by --session-key-secret, or create the IngressClass or the ConfigMap that --configmap names."},
		{BadInput, 0, "A file or document could not be read.", "Correct it as the message says; the objects before it stay in use."},
		{CatchAllDisabled, 0, "The Ingress takes the traffic of every host, which this controller is told not to accept.", "Give the rule a host, or start Usher without --disable-catch-all."},
		{NoConfigMap, 0, "The ConfigMap the controller was started with does not exist, so the defaults apply.", "Create it, or correct --configmap."},
		{PortByTarget, 0, "The backend's port is a targetPort of the Service rather than one of its ports, which ingress-nginx accepts too.", "Write the Service's own port: other controllers and `kubectl` find nothing by its targetPort."},
		{HostSettingConflict, 0, "Another, older Ingress already makes this setting for the whole host.", "Make it on one Ingress of the host only, or the same on all."},
		{HostNotOwned, 503, "The host belongs to another namespace, which has the oldest Ingress with a rule for it; what stands for the whole host is taken from there alone.", "Use a host of your own, or ask that namespace to declare it; an option that restricts access and cannot be honoured keeps its paths closed (503)."},
		{HostShared, 0, "Ingresses of other namespaces name a host that belongs to this one.", "If that is not meant, ask them to remove it, or start Usher with --host-ownership=namespace, which refuses their paths."},
		{PassthroughPath, 503, "An Ingress with ssl-passthrough has a path that cannot be passed through.", "Give it a host and the path /, and start Usher with --enable-ssl-passthrough."},
		{BadTCPService, 0, "An entry of the ConfigMap of TCP services cannot be used.", "Write \"PORT\": namespace/service:port as the message says."},
		{UDPService, 0, "An entry of the ConfigMap of UDP services, which are not forwarded.", "Give the Service type LoadBalancer or NodePort."},
		{PortUnavailable, 0, "The port of a TCP service cannot be listened on.", "Free the port, or give the container the right to open it; ports below 1024 need NET_BIND_SERVICE."},
		{ClientCAUnavailable, 503, "The Secret of auth-tls-secret is missing, in another namespace, or holds no usable CA, so no client can be judged.", "Create the Secret in the Ingress's namespace, with ca.crt (PEM) and if you like ca.crl."},
		{UpstreamTLSUnavailable, 503, "The Secret of proxy-ssl-secret is missing, in another namespace, or lacks what the options need.", "Create the Secret in the Ingress's namespace: ca.crt (PEM) for proxy-ssl-verify, tls.crt and tls.key for a client certificate."},
		{UnsupportedProtocol, 503, "The backend's protocol is not one Usher speaks.", "Use HTTP, HTTPS, GRPC, GRPCS or AUTO_HTTP."},
	}
}
