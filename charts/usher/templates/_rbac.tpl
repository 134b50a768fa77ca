{{/* Rights. The rules are those of files/rbac, which the end-to-end tests grant as they are; only names and who they are for differ here. */}}

{{/* The rules of a file: list of the context, the file, and the names to put for those it has (a dict). */}}
{{- define "usher.rules" -}}
{{- $ := index . 0 -}}
{{- $names := index . 2 -}}
rules:
{{- range (($.Files.Get (printf "files/rbac/%s.yaml" (index . 1))) | fromYaml).rules }}
{{- $rule := . }}
{{- if and $.Values.controller.secrets.byName (not $rule.resourceNames) (has "watch" $rule.verbs) }}
{{- $_ := set $rule "resources" (without $rule.resources "secrets") }}
{{- end }}
{{- range $from, $to := $names }}
{{- if has $from $rule.resourceNames }}
{{- $_ := set $rule "resourceNames" $to }}
{{- end }}
{{- end }}
{{- if $rule.resources }}
  - {{ toYaml $rule | nindent 4 | trim }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A Role with its binding: list of the context, the file, a suffix of the name, the namespace, and names as above. */}}
{{- define "usher.role" -}}
{{- $ := index . 0 -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "usher.metadata" (list $ (index . 2) dict dict (index . 3)) | nindent 2 }}
{{ include "usher.rules" (list $ (index . 1) (index . 4)) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "usher.metadata" (list $ (index . 2) dict dict (index . 3)) | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ include "usher.fullname" $ }}{{ index . 2 }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "usher.serviceAccount" $ }}, namespace: {{ include "usher.namespace" $ }}}
{{- end -}}

{{/* A ClusterRole with its binding: list of the context, the file and a suffix of the name. The namespace makes the name unique. */}}
{{- define "usher.clusterRole" -}}
{{- $ := index . 0 -}}
{{- $name := printf "%s-%s%s" (include "usher.namespace" $) (include "usher.fullname" $) (index . 2) -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $name }}
  labels:
    {{- include "usher.labels" $ | nindent 4 }}
{{ include "usher.rules" (list $ (index . 1) dict) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $name }}
  labels:
    {{- include "usher.labels" $ | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $name }}}
subjects:
  - {kind: ServiceAccount, name: {{ include "usher.serviceAccount" $ }}, namespace: {{ include "usher.namespace" $ }}}
{{- end -}}
