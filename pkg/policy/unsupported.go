package policy

import (
	"net/netip"
	"strings"
)

// Options that are recognised and not honoured, in three groups: those that need nothing here, those a later release brings, and
// those Usher will never execute. One that restricts access closes its paths rather than being skipped.

func acceptedKeys() []Key {
	keys := configMapOnly(recognised(NoEffect, UseDefault, map[string]string{
		"one process serves everything; Go sizes itself": "worker-processes max-worker-connections enable-serial-reloads reuse-port",
		"response buffering is not needed: answers are streamed": "proxy-buffering proxy-buffers-number proxy-buffer-size " +
			"client-body-buffer-size",
		"logging is set by flags":              "error-log-level access-log-path",
		"answers carry the application's type": "default-type",
		"values are typed and never pasted into a configuration": "annotations-risk-level annotation-value-word-blocklist " +
			"allow-snippet-annotations ignore-invalid-headers strict-validate-path-type",
		"ingress-nginx has dropped it; --client-header-size bounds the fields of a request, and HTTP/2 connections are not bounded in requests": "http2-max-field-size http2-max-header-size http2-max-requests",
		"TLS sessions are resumed by tickets, which live for up to seven days":                                                                  "ssl-session-cache ssl-session-cache-size ssl-session-timeout",
		"Go sizes TLS records itself":                                         "ssl-buffer-size",
		"Go has no finite-field Diffie-Hellman, only that of elliptic curves": "ssl-dh-param",
	}))
	return append(keys, acceptedAnnotations()...)
}

func acceptedAnnotations() []Key {
	return recognised(NoEffect, UseDefault, map[string]string{
		"response buffering is not needed: answers are streamed": "proxy-buffering proxy-buffers-number proxy-busy-buffers-size " +
			"proxy-max-temp-file-size proxy-buffer-size client-body-buffer-size",
		"Go orders cipher suites itself":                      "ssl-prefer-server-ciphers",
		"HTTP/2 push is dead in browsers":                     "http2-push-preload",
		"there is no rewrite log; `usher explain` shows more": "enable-rewrite-log",
		"ingress-nginx removed it before 1.15, or never acted on it": "session-cookie-hash enable-websockets enable-opentracing " +
			"enable-influxdb add-base-url secure-verify-ca-secret",
		"endpoints are spoken to in HTTP/1.1, which HTTP/1.0 servers accept": "proxy-http-version",
	})
}

func unsupportedKeys() []Key {
	later := "a later release brings it"
	keys := recognised(Unsupported, UseDefault, map[string]string{
		later: "from-to-www-redirect " +
			"relative-redirects use-port-in-redirects rewrite-target use-regex app-root server-alias " +
			"x-forwarded-prefix custom-headers connection-proxy-header proxy-redirect-from proxy-redirect-to proxy-cookie-domain " +
			"proxy-cookie-path service-upstream auth-realm auth-secret-type auth-method auth-signin " +
			"auth-signin-redirect-param auth-response-headers auth-request-redirect auth-always-set-cookie auth-proxy-set-headers " +
			"auth-cache-key auth-cache-duration auth-keepalive auth-keepalive-share-vars auth-keepalive-requests " +
			"auth-keepalive-timeout enable-global-auth enable-cors cors-allow-origin cors-allow-methods cors-allow-headers " +
			"cors-allow-credentials cors-expose-headers cors-max-age " +
			"custom-http-errors default-backend disable-proxy-intercept-errors enable-access-log " +
			"enable-opentelemetry opentelemetry-trust-incoming-span opentelemetry-operation-name " +
			"fastcgi-index fastcgi-params-configmap",
	})
	keys = append(keys, unsupportedConfigMapKeys(later)...)
	// These restrict who gets in: closed, not skipped.
	return append(keys, recognised(Unsupported, DenyAccess, map[string]string{
		later: "auth-type auth-secret auth-url satisfy allowlist-source-range whitelist-source-range " +
			"denylist-source-range secure-backends grpc-backend",
	})...)
}

// admitsEverybody reports whether an option is a list of who gets in that has every address, so that not honouring it opens nothing.
// cert-manager gives such a one to the Ingresses by which it proves that a host is yours, lest a global list close them.
func admitsEverybody(key *Key, value string) bool {
	switch key.ID() {
	case "allowlist-source-range", "whitelist-source-range":
	default:
		return false
	}
	var v4, v6 bool
	for entry := range strings.SplitSeq(value, ",") {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(entry))
		if err != nil {
			return false
		}
		all := prefix.Bits() == 0
		v4, v6 = v4 || all && prefix.Addr().Is4(), v6 || all && prefix.Addr().Is6()
	}
	return v4 && v6
}

func unsupportedConfigMapKeys(later string) []Key {
	keys := configMapOnly(recognised(Unsupported, UseDefault, map[string]string{
		later: "client-header-timeout client-body-timeout " +
			"client-header-buffer-size large-client-header-buffers keep-alive keep-alive-requests " +
			"upstream-keepalive-connections upstream-keepalive-time upstream-keepalive-timeout upstream-keepalive-requests " +
			"no-auth-locations " +
			"custom-http-errors disable-proxy-intercept-errors hide-headers " +
			"global-allowed-response-headers " +
			"service-upstream log-format-upstream log-format-escape-json disable-access-log " +
			"skip-access-log-urls enable-access-log-for-default-backend use-gzip gzip-level gzip-min-length gzip-types " +
			"enable-brotli proxy-cookie-domain proxy-cookie-path proxy-redirect-from relative-redirects " +
			"allow-cross-namespace-resources worker-shutdown-timeout bind-address disable-ipv6 " +
			"disable-ipv6-dns enable-opentelemetry otlp-collector-host otlp-collector-port otel-service-name otel-sampler " +
			"otel-sampler-ratio enable-ocsp use-geoip2",
	}))
	for _, name := range []string{"proxy-set-headers", "add-headers"} {
		keys = append(keys, Key{ConfigMap: name, Values: "any", Scope: ScopeGlobal, Bad: UseDefault, Support: Unsupported, Doc: later, exposes: exposed(name)})
	}
	// These say who gets in. Until they can be honoured, nobody does.
	return append(keys, configMapOnly(recognised(Unsupported, DenyAccess, map[string]string{
		later: "whitelist-source-range denylist-source-range block-cidrs block-user-agents block-referers global-auth-url",
	}))...)
}

// exposed is what ignoring header fields of a ConfigMap shows or lets through: applications may trust a request field since ingress-nginx
// overwrites it, or removes the client's.
func exposed(name string) string {
	if name == "proxy-set-headers" {
		return "applications get these request fields as the client has sent them: one that trusts any of them can be deceived by every client"
	}
	return "answers lack these fields; browsers do not enforce what they ask for"
}

// snippetDoc: see restriction for what closes.
const snippetDoc = "raw nginx configuration has no meaning here; one that may keep requests out or changes their header fields (deny, return 404, proxy_set_header, Lua, and what is not known to be harmless) closes what it stands on"

func refusedKeys() []Key {
	keys := configMapOnly(recognised(Refused, UseDefault, map[string]string{
		snippetDoc: "main-snippet http-snippet server-snippet location-snippet stream-snippet",
	}))
	keys = append(keys, configMapOnly(recognised(Refused, DenyAccess, map[string]string{
		"Usher has no web application firewall": "enable-modsecurity enable-owasp-modsecurity-crs modsecurity-snippet",
	}))...)
	keys = append(keys, refusedAnnotations()...)
	return keys
}

func refusedAnnotations() []Key {
	keys := recognised(Refused, UseDefault, map[string]string{
		snippetDoc: "configuration-snippet server-snippet stream-snippet",
	})
	return append(keys, recognised(Refused, DenyAccess, map[string]string{
		"raw nginx configuration has no meaning here, and this one may restrict access": "auth-snippet",
		"Usher has no web application firewall":                                         "enable-modsecurity enable-owasp-core-rules modsecurity-snippet modsecurity-transaction-id",
	})...)
}

// recognised makes a row for each name; names are grouped under the sentence that explains them.
func recognised(support Support, bad Outcome, groups map[string]string) []Key {
	var keys []Key
	for _, why := range sortedNames(groups) {
		for _, name := range strings.Fields(groups[why]) {
			keys = append(keys, Key{Name: name, Values: "any", Scope: ScopePath, Bad: bad, Support: support, Doc: why})
		}
	}
	return keys
}

// configMapOnly turns rows of annotations into rows of ConfigMap keys, which reach the whole controller.
func configMapOnly(keys []Key) []Key {
	for i := range keys {
		keys[i].ConfigMap, keys[i].Name, keys[i].Scope = keys[i].Name, "", ScopeGlobal
	}
	return keys
}
