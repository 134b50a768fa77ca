{{/* Names and labels. */}}

{{- define "usher.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Values files of ingress-nginx's chart ask for this one in the selectors of affinity and topologySpreadConstraints. */}}
{{- define "ingress-nginx.name" -}}
{{- include "usher.name" . -}}
{{- end -}}

{{/* 48 bytes at most, so that a Service's name has 63 with the longest suffix, -defaultbackend. */}}
{{- define "usher.fullname" -}}
{{- $name := include "usher.name" . -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- default $full .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{- define "usher.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "usher.serviceAccount" -}}
{{- $own := .Values.serviceAccount.create | ternary (include "usher.fullname" .) "default" -}}
{{- default $own .Values.serviceAccount.name -}}
{{- end -}}

{{- define "usher.electionID" -}}
{{- default (printf "%s-leader" (include "usher.fullname" .)) .Values.controller.electionID -}}
{{- end -}}

{{- define "usher.ticketSecret" -}}
{{- printf "%s-session-tickets" (include "usher.fullname" .) -}}
{{- end -}}

{{/* The namespace that is watched; "" is all. */}}
{{- define "usher.scope" -}}
{{- with .Values.controller.scope -}}
{{- if .enabled -}}{{ default (include "usher.namespace" $) .namespace }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* What tells this release's replicas from all other Pods; it must never change. */}}
{{- define "usher.selector" -}}
app.kubernetes.io/name: {{ include "usher.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{/* Labels of everything; what selects Pods cannot be overridden. */}}
{{- define "usher.commonLabels" -}}
{{- $own := dict "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/part-of" (include "usher.name" .)
  "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge (deepCopy .Values.commonLabels) $own | toYaml -}}
{{- end -}}

{{- define "usher.labels" -}}
{{- merge (include "usher.selector" . | fromYaml) .Values.controller.labels (include "usher.commonLabels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* Metadata of an object: list of the context, a suffix of its name, further labels, annotations, and a namespace, which may be "". */}}
{{- define "usher.metadata" -}}
{{- $ := index . 0 -}}
name: {{ include "usher.fullname" $ }}{{ index . 1 }}
namespace: {{ default (include "usher.namespace" $) (index . 4) }}
labels:
  {{- merge (deepCopy (index . 2)) (include "usher.labels" $ | fromYaml) | toYaml | nindent 2 }}
{{- with index . 3 }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* An image: list of the context, the image's values and a default tag. */}}
{{- define "usher.image" -}}
{{- $ := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := default $image.registry $.Values.global.image.registry -}}
{{- $name := default (trimPrefix "/" (printf "%s/%s" $registry $image.image)) $image.repository -}}
{{- if $image.digest -}}{{ $name }}@{{ $image.digest }}{{- else -}}{{ $name }}:{{ default (index . 2) $image.tag }}{{- end -}}
{{- end -}}

{{/* The name of a TCP port: list of the context and its number. */}}
{{- define "usher.tcpPortName" -}}
{{- $prefix := (index . 0).Values.portNamePrefix -}}
{{- if $prefix }}{{ $prefix }}-{{ end }}{{ index . 1 }}-tcp
{{- end -}}
