{{/* The spec of a Service for traffic: list of the context and the Service's values. */}}
{{- define "usher.serviceSpec" -}}
{{- $ := index . 0 -}}
{{- with index . 1 -}}
type: {{ .type }}
{{- with .clusterIP }}
clusterIP: {{ . }}
{{- end }}
{{- with .clusterIPs }}
clusterIPs: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .externalIPs }}
externalIPs: {{ toYaml . | nindent 2 }}
{{- end }}
{{- if eq .type "LoadBalancer" }}
{{- with .loadBalancerIP }}
loadBalancerIP: {{ . }}
{{- end }}
{{- with .loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with .loadBalancerSourceRanges }}
loadBalancerSourceRanges: {{ toYaml . | nindent 2 }}
{{- end }}
{{- if not .allocateLoadBalancerNodePorts }}
allocateLoadBalancerNodePorts: false
{{- end }}
{{- end }}
{{- $policy := include "usher.externalTrafficPolicy" (list $ .) }}
{{- with $policy }}
externalTrafficPolicy: {{ . }}
{{- end }}
{{- if and .healthCheckNodePort (eq .type "LoadBalancer") (eq $policy "Local") }}
healthCheckNodePort: {{ .healthCheckNodePort }}
{{- end }}
{{- with .internalTrafficPolicy }}
internalTrafficPolicy: {{ . }}
{{- end }}
{{- with .sessionAffinity }}
sessionAffinity: {{ . }}
{{- end }}
{{- with .trafficDistribution }}
trafficDistribution: {{ . }}
{{- end }}
{{- with .ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .ipFamilies }}
ipFamilies: {{ toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- $service := . }}
  {{- range $name, $on := dict "http" .enableHttp "https" .enableHttps }}
  {{- if $on }}
  - name: {{ $name }}
    port: {{ get $service.ports $name }}
    targetPort: {{ get $service.targetPorts $name }}
    protocol: TCP
    {{- if $service.appProtocol }}
    appProtocol: {{ $name }}
    {{- end }}
    {{- with get $service.nodePorts $name }}
    nodePort: {{ . }}
    {{- end }}
  {{- end }}
  {{- end }}
  {{- range $port, $_ := $.Values.tcp }}
  - name: {{ include "usher.tcpPortName" (list $ $port) }}
    port: {{ $port }}
    targetPort: {{ include "usher.tcpPortName" (list $ $port) }}
    protocol: TCP
    {{- with get (default dict $service.nodePorts.tcp) $port | default "" }}
    nodePort: {{ . }}
    {{- end }}
  {{- end }}
selector:
  {{- include "usher.selector" $ | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The policy of a Service; "" for one that the outside does not reach. */}}
{{- define "usher.externalTrafficPolicy" -}}
{{- with index . 1 -}}
{{- if ne .type "ClusterIP" -}}
{{- default (eq .type "LoadBalancer" | ternary "Local" "Cluster") .externalTrafficPolicy -}}
{{- end -}}
{{- end -}}
{{- end -}}
