{{/* What usher serve is told. */}}

{{- define "usher.args" -}}
{{- $name := include "usher.fullname" . -}}
{{- with .Values.controller -}}
- serve
- --controller-class={{ .ingressClassResource.controllerValue }}
- --ingress-class={{ default .ingressClassResource.name .ingressClass }}
{{- if or .ingressClassByName (and .scope.enabled $.Values.rbac.scope) }}
- --ingress-class-by-name
{{- end }}
{{- if or .watchIngressWithoutClass (and .ingressClassResource.default .scope.enabled $.Values.rbac.scope) }}
- --watch-ingress-without-class
{{- end }}
- --configmap=$(POD_NAMESPACE)/{{ $name }}
{{- if $.Values.tcp }}
- --tcp-services-configmap=$(POD_NAMESPACE)/{{ $name }}-tcp
{{- end }}
{{- if $.Values.defaultBackend.enabled }}
- --default-backend-service=$(POD_NAMESPACE)/{{ $name }}-{{ $.Values.defaultBackend.name }}
{{- end }}
- --election-id={{ include "usher.electionID" $ }}
- --session-ticket-secret={{ include "usher.ticketSecret" $ }}
{{- with include "usher.nodeAddresses" $ }}
- --publish-node-addresses={{ . }}
{{- end }}
{{- if include "usher.publishes" $ }}
- --publish-service={{ default (printf "$(POD_NAMESPACE)/%s" (include "usher.publishedService" $)) .publishService.pathOverride }}
{{- end }}
{{- with include "usher.scope" $ }}
- --watch-namespace={{ . }}
{{- end }}
{{- if and .scope.namespaceSelector (not .scope.enabled) }}
- --watch-namespace-selector={{ .scope.namespaceSelector }}
{{- end }}
{{- with .ingressSelector }}
- --ingress-selector={{ . }}
{{- end }}
{{- if .secrets.byName }}
- --watch-secrets-by-name
{{- end }}
{{- with .hostOwnership }}
- --host-ownership={{ . }}
{{- end }}
{{- if .explainPods }}
- --explain-pods
{{- end }}
{{- with .acme }}
{{- with .email }}
- --acme-email={{ . }}
{{- end }}
{{- with .ca }}
- --acme-ca={{ . }}
{{- end }}
{{- if include "usher.acme" $ }}
{{- with .fallbackCA }}
- --acme-fallback-ca={{ . }}
{{- end }}
{{- with .names }}
- --acme-names={{ join "," . }}
{{- end }}
{{- if not (kindIs "invalid" .namesPerNamespace) }}
- --acme-names-per-namespace={{ int .namesPerNamespace }}
{{- end }}
{{- if .writeSecrets }}
- --acme-write-secrets
{{- end }}
{{- if .externalAccount.keyID }}
- --acme-eab-kid={{ .externalAccount.keyID }}
- --acme-eab-key-file=/etc/usher/acme/account
{{- end }}
{{- with .dns }}
{{- if .server }}
- --acme-dns-server={{ .server }}
{{- if .only }}
- --acme-dns-only
{{- end }}
{{- with .resolvers }}
- --acme-dns-resolvers={{ join "," . }}
{{- end }}
{{- if .secretName }}
- --acme-dns-key-file=/etc/usher/acme/dns
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
- --http-port={{ .containerPort.http }}
- --https-port={{ .containerPort.https }}
{{- with .containerPort.tohttps }}
- --http-redirect-port={{ . }}
{{- end }}
- --admin-port={{ .metrics.port }}
{{- with .healthCheckHost }}
- --admin-address={{ . }}
{{- end }}
- --zone=$(POD_ZONE)
- --shutdown-delay={{ include "usher.shutdownDelay" $ }}
- --shutdown-grace-period={{ include "usher.gracePeriod" $ }}
{{- range $flag, $value := .extraArgs }}
- --{{ $flag }}{{ with include "usher.flagValue" $value }}={{ . }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* "yes" when certificates are ordered. */}}
{{- define "usher.acme" -}}
{{- with .Values.controller.acme -}}
{{- if or .email (eq .ca "internal") }}yes
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secrets with keys for ACME, as sources of one volume; "" without any. */}}
{{- define "usher.acmeKeys" -}}
{{- with .Values.controller.acme -}}
{{- if .externalAccount.keyID }}
- secret:
    name: {{ .externalAccount.secretName }}
    items: [{key: {{ .externalAccount.secretKey }}, path: account}]
{{- end }}
{{- if and .dns.server .dns.secretName }}
- secret:
    name: {{ .dns.secretName }}
    items: [{key: {{ .dns.secretKey }}, path: dns}]
{{- end }}
{{- end -}}
{{- end -}}

{{/* "yes" when the chart makes a Service for traffic. */}}
{{- define "usher.hasService" -}}
{{- with .Values.controller.service -}}
{{- if and .enabled (or .external.enabled .internal.enabled) }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{/* "yes" when a Service's address goes to status. */}}
{{- define "usher.publishes" -}}
{{- with .Values.controller.publishService -}}
{{- if and .enabled (or .pathOverride (include "usher.hasService" $)) }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{/* Which addresses of nodes go to status; "" is none. Without a ClusterRole no node can be read. */}}
{{- define "usher.nodeAddresses" -}}
{{- with .Values.controller -}}
{{- $off := or (include "usher.publishes" $) (hasKey .extraArgs "publish-status-address") (eq (get .extraArgs "update-status" | toString) "false") -}}
{{- $flag := hasKey .extraArgs "report-node-internal-ip-address" | ternary (get .extraArgs "report-node-internal-ip-address" | toString) "false" -}}
{{- if not $off -}}
{{- or .reportNodeInternalIp (ne $flag "false") (and .scope.enabled $.Values.rbac.scope) | ternary "internal" "external" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Service whose address goes to status. */}}
{{- define "usher.publishedService" -}}
{{- include "usher.fullname" . }}{{ if not .Values.controller.service.external.enabled }}-internal{{ end }}
{{- end -}}

{{/* The preStop hook's own time, as far as it tells. */}}
{{- define "usher.preStopSeconds" -}}
{{- int (dig "preStop" "sleep" "seconds" 0 .Values.controller.lifecycle) -}}
{{- end -}}

{{/* Seconds that Usher has to end: the Pod's, less those of the preStop hook, and 5 to end in order, or a fifth where the Pod has few. */}}
{{- define "usher.timeToEnd" -}}
{{- $all := int .Values.controller.terminationGracePeriodSeconds -}}
{{- max 0 (sub (sub $all (include "usher.preStopSeconds" .)) (max 1 (min 5 (div $all 5)))) -}}
{{- end -}}

{{/* How long Usher goes on serving at the end. Where there is no time for all of it, requests in flight have a quarter of what there is. */}}
{{- define "usher.shutdownDelay" -}}
{{- $time := include "usher.timeToEnd" . | int -}}
{{- with .Values.controller -}}
{{- lt (int .shutdownDelay) $time | ternary .shutdownDelay (min .shutdownDelay (sub $time (div $time 4))) -}}
{{- end -}}
{{- end -}}

{{/* Seconds that requests in flight have: what is left of the Pod's time. */}}
{{- define "usher.gracePeriod" -}}
{{- sub (include "usher.timeToEnd" .) (include "usher.shutdownDelay" .) -}}
{{- end -}}

{{/* How often the readiness probe may fail. An end that has begun fails it, but as long as Usher takes connections they must come:
with externalTrafficPolicy Local a node without a Pod that is serving drops what a load balancer still sends. */}}
{{- define "usher.readinessFailures" -}}
{{- with .Values.controller -}}
{{- $needed := add 1 (div (add (include "usher.shutdownDelay" $) .readinessProbe.periodSeconds -1) .readinessProbe.periodSeconds) -}}
{{- max 3 $needed (default 0 .readinessProbe.failureThreshold) -}}
{{- end -}}
{{- end -}}

{{/* How many replicas a Deployment has at least. */}}
{{- define "usher.replicas" -}}
{{- with .Values.controller -}}
{{- if .keda.enabled }}{{ .keda.minReplicas }}{{ else if .autoscaling.enabled }}{{ .autoscaling.minReplicas }}{{ else }}{{ .replicaCount }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* "yes" when the PodDisruptionBudget never lets a replica go. */}}
{{- define "usher.blocksDraining" -}}
{{- $replicas := include "usher.replicas" . | int -}}
{{- with .Values.controller -}}
{{- if and (eq .kind "Deployment") (gt $replicas 1) -}}
{{- $least := default "" .minAvailable | toString -}}
{{- if or (eq $least "100%") (and (regexMatch "^[0-9]+$" $least) (ge (int $least) $replicas)) (and (not $least) (has (toString .maxUnavailable) (list "0" "0%"))) -}}yes{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* GOMEMLIMIT, nine tenths of the memory limit, in MiB; "" without a limit. */}}
{{- define "usher.memoryLimit" -}}
{{- $limit := dig "limits" "memory" "" .Values.controller.resources | toString -}}
{{- $mib := dict "Mi" 1.0 "Gi" 1024.0 "M" 0.953674 "G" 953.674 -}}
{{- $unit := regexFind "[A-Za-z]+$" $limit -}}
{{- if hasKey $mib $unit -}}
{{- printf "%dMiB" (mulf (trimSuffix $unit $limit | float64) (get $mib $unit) 0.9 | int) -}}
{{- end -}}
{{- end -}}
