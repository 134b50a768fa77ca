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
{{- $low := list -}}
{{- range $port := concat (list .containerPort.http .containerPort.https) (keys $.Values.tcp) -}}
{{- if lt (int $port) 1024 }}{{ $low = append $low $port }}{{ end -}}
{{- end -}}
{{- $sysctls := deepCopy .sysctls -}}
{{- if and $low (not .hostNetwork) (not (hasKey $sysctls "net.ipv4.ip_unprivileged_port_start")) -}}
{{- $_ := set $sysctls "net.ipv4.ip_unprivileged_port_start" "0" -}}
{{- end -}}
{{- $list := list -}}
{{- range $name, $value := $sysctls }}{{ $list = append $list (dict "name" $name "value" (toString $value)) }}{{ end -}}
{{- $context := deepCopy .podSecurityContext -}}
{{- if $list }}{{ $_ := set $context "sysctls" (concat $list (default (list) $context.sysctls)) }}{{ end -}}
{{- toYaml $context -}}
{{- end -}}
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
    # Kubernetes gives Pods this label of their node since 1.35; it is empty before, and hints for zones are not followed then.
    - name: POD_ZONE
      valueFrom: {fieldRef: {fieldPath: "metadata.labels['topology.kubernetes.io/zone']"}}
    {{- with include "usher.memoryLimit" $ }}
    - {name: GOMEMLIMIT, value: {{ . }}}
    {{- end }}
    {{- with .extraEnvs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    {{- $host := .hostPort.enabled | ternary .hostPort.ports dict }}
    - {name: http, containerPort: {{ .containerPort.http }}, protocol: TCP{{ with $host.http }}, hostPort: {{ . }}{{ end }}}
    - {name: https, containerPort: {{ .containerPort.https }}, protocol: TCP{{ with $host.https }}, hostPort: {{ . }}{{ end }}}
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
  {{- with .containerSecurityContext }}
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

{{/* Usher's image. A values file of ingress-nginx's chart may hold that one's, as its defaults do. */}}
{{- define "usher.controllerImage" -}}
{{- $image := include "usher.image" (list . .Values.controller.image (printf "v%s" .Chart.AppVersion)) -}}
{{- if regexMatch "(^|/)(registry\\.k8s\\.io|k8s\\.gcr\\.io)/|ingress-nginx/controller" $image -}}
{{- fail (printf "controller.image: %s is not Usher. Of an old values file leave out controller.image (registry, image, repository, tag, digest) and global.image.registry, or name an image of Usher" $image) -}}
{{- end -}}
{{- $image -}}
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
