package policy

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Snippets are never executed. One that says who gets in, or what the application is told of a request, closes what it stands on all the
// same, like every other restriction that cannot be honoured. So does one that cannot be read, or has a directive that is not known to be
// harmless. The others are skipped.

// restriction is the first directive of a snippet that may keep requests out, as it is written there; "" if it has none.
func restriction(snippet string) string {
	found := ""
	err := walkDirectives(snippet, func(words []string) bool {
		if restricts(words[0], words[1:]) {
			found = strings.Join(words[:min(2, len(words))], " ")
		}
		return found != ""
	})
	if err != nil {
		return err.Error()
	}
	return found
}

// restricts reports whether a directive keeps requests out or changes what endpoints are told, or might.
func restricts(name string, arguments []string) bool {
	first := ""
	if len(arguments) > 0 {
		first = arguments[0]
	}
	switch {
	case name == "return":
		return !returnsContent(arguments)
	case name == "rewrite":
		return len(arguments) < 2 || errorPath.MatchString(arguments[1])
	case name == "try_files":
		return slices.ContainsFunc(arguments, func(a string) bool { return strings.HasPrefix(a, "=4") || strings.HasPrefix(a, "=5") })
	case name == "set":
		return sentVariable.MatchString(first)
	case name == "allow":
		return first != "all"
	case strings.HasPrefix(name, "auth_"), strings.HasPrefix(name, "modsecurity"), name == "ssl_verify_client", strings.HasSuffix(name, "_ssl_verify"):
		return first != "off"
	}
	return !harmless().names[name] && !isHarmlessFamily(name)
}

// returnsContent reports whether nginx's directive return gives an answer below 400, or a redirect.
func returnsContent(arguments []string) bool {
	if len(arguments) == 0 {
		return false
	}
	if code, err := strconv.Atoi(arguments[0]); err == nil {
		return 200 <= code && code < 400
	}
	return len(arguments) == 1 && redirectURL.MatchString(arguments[0])
}

var (
	redirectURL = regexp.MustCompile(`^(https?://|\$scheme)`)
	// errorPath is the name of an error page: "/404", "/errors/50x.html".
	errorPath = regexp.MustCompile(`(^|/)=?[45][0-9x][0-9x]([./?]|$)`)
	// sentVariable is a variable of which ingress-nginx makes fields of the request to the endpoint.
	sentVariable = regexp.MustCompile(`^\$(http_.*|best_http_host|pass_.*|the_real_ip|full_x_forwarded_.*|connection_upgrade|proxy_upstream_name|proxy_alternative.*|proxy_host)$`)
)

// isHarmlessFamily reports whether all directives that begin like name are about other things than access, but for those that change
// the request.
func isHarmlessFamily(name string) bool {
	if changesRequest.MatchString(name) || strings.Contains(name, "_by_lua") {
		return false
	}
	family, _, _ := strings.Cut(name, "_")
	return harmless().families[family]
}

// changesRequest are the directives of harmless families that set, drop or replace parts of the request to an endpoint, or judge clients.
var changesRequest = regexp.MustCompile(`_(set_header|set_body|param|method|pass_request_headers|pass_request_body)$|^ssl_(client_|trusted_|verify_|crl)`)

// harmless are the directives that neither keep requests out nor change what endpoints are told, or do so only by what stands in their
// blocks: by name, and by what stands before the first "_".
var harmless = sync.OnceValue(func() (known struct{ names, families map[string]bool }) {
	known.names = wordSet("if location server map geo types split_clients charset_map upstream listen break " +
		"add_header add_trailer more_set_headers more_clear_headers expires etag default_type gunzip if_modified_since " +
		"add_before_body add_after_body addition_types send_timeout send_lowat directio directio_alignment output_buffers postpone_output " +
		"reset_timedout_connection port_in_redirect absolute_redirect merge_slashes underscores_in_headers ignore_invalid_headers " +
		"large_client_header_buffers connection_pool_size request_pool_size chunked_transfer_encoding max_ranges access_log error_log " +
		"rewrite_log uninitialized_variable_warn error_page recursive_error_pages set_real_ip_from limit_rate limit_rate_after limit_req_zone " +
		"limit_conn_zone limit_req_status limit_conn_status limit_req_log_level limit_conn_log_level stub_status status_zone root alias " +
		"index mirror mirror_request_body load_module env user pid pcre_jit thread_pool")
	known.families = wordSet("proxy fastcgi grpc uwsgi scgi ssl gzip brotli zstd sub charset client keepalive lingering sendfile tcp aio " +
		"resolver open log real msie http2 http3 quic opentelemetry otel opentracing zipkin lua variables map types worker vhost geoip geoip2 server")
	return known
})

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

func isSnippet(key *Key) bool {
	return key.Support == Refused && strings.HasSuffix(key.ID(), "-snippet")
}
