{{/* What the two kinds of monitor have in common: list of the context and the monitor's values. */}}
{{- define "usher.scrape" -}}
{{- $ := index . 0 -}}
{{- with index . 1 -}}
- port: {{ $.Values.controller.metrics.portName }}
  path: /metrics
  interval: {{ .scrapeInterval }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- with .relabelings }}
  relabelings: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings: {{ toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "usher.monitored" -}}
{{- $ := index . 0 -}}
{{- with index . 1 -}}
{{- with .jobLabel }}
jobLabel: {{ . }}
{{- end }}
namespaceSelector: {{ default (dict "matchNames" (list (include "usher.namespace" $))) .namespaceSelector | toYaml | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What selects this release's series, of PromQL: Prometheus Operator gives them the Pod's namespace and name. */}}
{{- define "usher.series" -}}
namespace="{{ include "usher.namespace" . }}",pod=~"{{ include "usher.fullname" . }}-.+"
{{- end -}}
