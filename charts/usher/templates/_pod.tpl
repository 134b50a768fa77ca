{{/* The Pod, of a Deployment or a DaemonSet. */}}
{{- define "usher.pod" -}}
{{- with .Values.controller -}}
metadata:
  labels:
    {{- merge (include "usher.selector" $ | fromYaml) .podLabels (include "usher.labels" $ | fromYaml) | toYaml | nindent 4 }}
  {{- with .podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "usher.serviceAccount" $ }}
  automountServiceAccountToken: {{ $.Values.serviceAccount.automountServiceAccountToken }}
  terminationGracePeriodSeconds: {{ .terminationGracePeriodSeconds }}
  {{- with $.Values.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with .hostname }}
  hostname: {{ . }}
  {{- end }}
  dnsPolicy: {{ .dnsPolicy }}
  {{- with .dnsConfig }}
  dnsConfig: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- if .hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- with .hostAliases }}
  hostAliases: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- if not (kindIs "invalid" .hostUsers) }}
  hostUsers: {{ .hostUsers }}
  {{- end }}
  {{- if .shareProcessNamespace }}
  shareProcessNamespace: true
  {{- end }}
  {{- with include "usher.podSecurityContext" $ | fromYaml }}
  securityContext: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .affinity }}
  affinity: {{ tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- if and .topologySpreadConstraints (eq .kind "Deployment") }}
  topologySpreadConstraints:
    {{- range .topologySpreadConstraints }}
    {{- $own := hasKey . "labelSelector" | ternary (dict) (dict "labelSelector" (dict "matchLabels" (include "usher.selector" $ | fromYaml)) "matchLabelKeys" (list "pod-template-hash")) }}
    - {{ tpl (merge (deepCopy .) $own | toYaml) $ | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  {{- with .extraInitContainers }}
  initContainers: {{ toYaml . | nindent 4 }}
  {{- end }}
  containers:
    {{- include "usher.container" $ | nindent 4 }}
    {{- with .extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- $keys := include "usher.acmeKeys" $ }}
  {{- if or .extraVolumes $keys }}
  volumes:
    {{- with $keys }}
    - name: acme
      projected:
        sources: {{ trim . | nindent 10 }}
    {{- end }}
    {{- with .extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The Pod's securityContext. A port below 1024 needs a sysctl that Pod Security's "restricted" allows, rather than a capability. */}}
{{- define "usher.podSecurityContext" -}}
{{- with .Values.controller -}}
{{- $sysctls := deepCopy .sysctls -}}
{{- if and (include "usher.lowPorts" $) (not .hostNetwork) (not (hasKey $sysctls "net.ipv4.ip_unprivileged_port_start")) -}}
{{- $_ := set $sysctls "net.ipv4.ip_unprivileged_port_start" "0" -}}
{{- end -}}
{{- $list := list -}}
{{- range $name, $value := $sysctls }}{{ $list = append $list (dict "name" $name "value" (toString $value)) }}{{ end -}}
{{- $context := deepCopy .podSecurityContext -}}
{{- if include "usher.needsRoot" $ }}{{ $_ := set $context "runAsNonRoot" false }}{{ end -}}
{{- if $list }}{{ $_ := set $context "sysctls" (concat $list (default (list) $context.sysctls)) }}{{ end -}}
{{- toYaml $context -}}
{{- end -}}
{{- end -}}

{{/* "yes" when Usher listens below 1024. */}}
{{- define "usher.lowPorts" -}}
{{- $low := dict -}}
{{- with .Values.controller -}}
{{- range $port := concat (list .containerPort.http .containerPort.https (default 8080 .containerPort.tohttps)) (keys $.Values.tcp) -}}
{{- if lt (int $port) 1024 }}{{ $_ := set $low "any" true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if $low.any }}yes{{ end -}}
{{- end -}}

{{/* "yes" when that needs root: on the node's own network a Pod may set no sysctl, and capabilities are root's. */}}
{{- define "usher.needsRoot" -}}
{{- with .Values.controller -}}
{{- if and .hostNetwork (not .lowPortsAllowed) (include "usher.lowPorts" $) }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{- define "usher.containerSecurityContext" -}}
{{- $context := deepCopy .Values.controller.containerSecurityContext -}}
{{- if include "usher.needsRoot" . -}}
{{- $capabilities := deepCopy (default dict $context.capabilities) -}}
{{- $_ := set $capabilities "add" (append (default list $capabilities.add) "NET_BIND_SERVICE" | uniq) -}}
{{- $context = merge (dict "runAsUser" 0 "runAsGroup" 0 "capabilities" $capabilities) $context -}}
{{- $_ := set $context "runAsNonRoot" false -}}
{{- $_ := set $context "runAsUser" 0 -}}
{{- $_ := set $context "runAsGroup" 0 -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "usher.container" -}}
{{- with .Values.controller -}}
- name: {{ .containerName }}
  image: {{ include "usher.controllerImage" $ }}
  imagePullPolicy: {{ .image.pullPolicy }}
  args:
    {{- include "usher.args" $ | nindent 4 }}
  env:
    - name: POD_NAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    - name: POD_NAMESPACE
      valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
    # What is at the Pod's own addresses is no endpoint, unless they are the node's.
    - name: POD_IPS
      valueFrom: {fieldRef: {fieldPath: status.podIPs}}
    - name: HOST_IP
      valueFrom: {fieldRef: {fieldPath: status.hostIP}}
    # Kubernetes gives Pods this label of their node since 1.35; it is empty before, and hints for zones are not followed then.
    - name: POD_ZONE
      valueFrom: {fieldRef: {fieldPath: "metadata.labels['topology.kubernetes.io/zone']"}}
    {{- with include "usher.memoryLimit" $ }}
    - {name: GOMEMLIMIT, value: {{ . }}}
    {{- end }}
    {{- with .extraEnvs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .envFrom }}
  envFrom: {{ toYaml . | nindent 4 }}
  {{- end }}
  ports:
    {{- $host := .hostPort.enabled | ternary .hostPort.ports dict }}
    {{- range $name, $port := .containerPort }}
    - {name: {{ $name }}, containerPort: {{ $port }}, protocol: TCP{{ with get $host $name }}, hostPort: {{ . }}{{ end }}}
    {{- end }}
    - {name: {{ .metrics.portName }}, containerPort: {{ .metrics.port }}, protocol: TCP}
    {{- range $port, $_ := $.Values.tcp }}
    - {name: {{ include "usher.tcpPortName" (list $ $port) }}, containerPort: {{ $port }}, protocol: TCP{{ if $host }}, hostPort: {{ $port }}{{ end }}}
    {{- end }}
  {{- with include "usher.lifecycle" $ | fromYaml }}
  lifecycle: {{ toYaml . | nindent 4 }}
  {{- end }}
  livenessProbe: {{ include "usher.probe" (list $ "/healthz" .livenessProbe) | nindent 4 }}
  readinessProbe: {{ include "usher.probe" (list $ "/readyz" (merge (dict "failureThreshold" (include "usher.readinessFailures" $ | int)) .readinessProbe)) | nindent 4 }}
  {{- with .startupProbe }}
  startupProbe: {{ include "usher.probe" (list $ "/healthz" .) | nindent 4 }}
  {{- end }}
  {{- with .resources }}
  resources: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .resizePolicy }}
  resizePolicy: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "usher.containerSecurityContext" $ | fromYaml }}
  securityContext: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- $keys := include "usher.acmeKeys" $ }}
  {{- if or .extraVolumeMounts $keys }}
  volumeMounts:
    {{- if $keys }}
    - {name: acme, mountPath: /etc/usher/acme, readOnly: true}
    {{- end }}
    {{- with .extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "usher.controllerImage" -}}
{{- include "usher.image" (list . .Values.controller.image (printf "v%s" .Chart.AppVersion)) -}}
{{- end -}}

{{/* A probe: list of the context, the path and the times. */}}
{{- define "usher.probe" -}}
{{- $ := index . 0 -}}
{{- $get := dict "path" (index . 1) "port" $.Values.controller.metrics.portName -}}
{{- with $.Values.controller.healthCheckHost }}{{ $_ := set $get "host" . }}{{ end -}}
{{- merge (dict "httpGet" $get) (omit (index . 2) "httpGet") | toYaml -}}
{{- end -}}

{{/* The lifecycle hooks, less the one of ingress-nginx: its program is not in our image. */}}
{{- define "usher.lifecycle" -}}
{{- $hooks := deepCopy .Values.controller.lifecycle -}}
{{- if has "/wait-shutdown" (dig "preStop" "exec" "command" (list) $hooks) }}{{ $hooks = omit $hooks "preStop" }}{{ end -}}
{{- toYaml $hooks -}}
{{- end -}}
