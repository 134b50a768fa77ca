{{/* Values as the templates take them. Each template begins with this; the first one does the work. What is missing, null or empty gets the
default of files/shape.yaml: a list or a map of the user's own keys is empty then, all else is as in values.yaml. Texts are templates, and
need no quotes. All that is refused is said at once. */}}
{{- define "usher.init" -}}
{{- if not .Values.complete -}}
{{- $shape := .Files.Get "files/shape.yaml" | fromYaml -}}
{{- include "usher.fill" (list .Values $shape.defaults $shape.mayBeEmpty "") -}}
{{- range $path := $shape.texts -}}
{{- include "usher.texts" (list $ (include "usher.at" (list $.Values $path) | fromYaml) (splitList "." $path)) -}}
{{- end -}}
{{- $_ := set .Values "complete" true -}}
{{- include "usher.ports" . -}}
{{- with include "usher.problems" . | trim -}}
{{- fail (contains "\n" . | ternary (printf "these values are refused:\n%s" .) .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Fills in defaults: list of the values, the defaults, the paths that may be "", and the path of these values. */}}
{{- define "usher.fill" -}}
{{- $values := index . 0 -}}
{{- $mayBeEmpty := index . 2 -}}
{{- $path := index . 3 -}}
{{- range $key, $default := index . 1 -}}
{{- $value := get $values $key -}}
{{- if kindIs "map" $default -}}
{{- if not (kindIs "map" $value) }}{{ $_ := set $values $key dict }}{{ end -}}
{{- include "usher.fill" (list (get $values $key) $default $mayBeEmpty (printf "%s%s." $path $key)) -}}
{{- else if or (kindIs "invalid" $value) (not (hasKey $values $key)) (and (eq (toString $value) "") (not (has (print $path $key) $mayBeEmpty))) -}}
{{- $_ := set $values $key $default -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Makes the values of a map texts: list of the context, a copy of the map, and the way to it. */}}
{{- define "usher.texts" -}}
{{- $ := index . 0 -}}
{{- $at := dict "value" $.Values -}}
{{- range index . 2 }}{{ $_ := set $at "value" (get $at.value .) }}{{ end -}}
{{- range $key, $value := index . 1 -}}
{{- if kindIs "invalid" $value }}{{ $_ := unset $at.value $key -}}
{{- else }}{{ $_ := set $at.value $key (include "usher.text" (list $ $value)) }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* A copy of a map, with texts as values: list of the context and the map. */}}
{{- define "usher.asTexts" -}}
{{- $ := index . 0 -}}
{{- $texts := dict -}}
{{- range $key, $value := index . 1 }}{{ if not (kindIs "invalid" $value) }}{{ $_ := set $texts $key (include "usher.text" (list $ $value)) }}{{ end }}{{ end -}}
{{- toYaml $texts -}}
{{- end -}}

{{/* A text that may be a template, or a number or truth value without quotes: list of the context and the value. YAML's whole numbers
arrive as floating ones, and must not become 1e+06. */}}
{{- define "usher.text" -}}
{{- $value := index . 1 -}}
{{- if kindIs "float64" $value -}}
{{- eq $value (floor $value) | ternary (printf "%.0f" $value) (toString $value) -}}
{{- else if contains "{{" (toString $value) -}}
{{- tpl $value (index . 0) -}}
{{- else -}}
{{- toString $value -}}
{{- end -}}
{{- end -}}

{{/* What is at a path, as YAML: list of a map and the path. */}}
{{- define "usher.at" -}}
{{- $at := dict "value" (index . 0) -}}
{{- range splitList "." (index . 1) }}{{ $_ := set $at "value" (kindIs "map" $at.value | ternary (get (default dict $at.value) .) "") }}{{ end -}}
{{- toYaml $at.value -}}
{{- end -}}

{{/* Ports inside the Pod. On the node's own network they are those of hostPort, since there is only one of each. Elsewhere nobody sees their
numbers, so the one that tcp needs too moves out of its way. */}}
{{- define "usher.ports" -}}
{{- with .Values.controller -}}
{{- if and .hostNetwork .hostPort.enabled -}}
{{- $_ := set . "containerPort" (merge (deepCopy .hostPort.ports) .containerPort) -}}
{{- end -}}
{{- if eq (int .containerPort.https) (int .containerPort.http) -}}
{{- $_ := set .containerPort "https" (eq (int .containerPort.http) 8443 | ternary 8444 8443) -}}
{{- end -}}
{{- if not .hostNetwork -}}
{{- $taken := keys $.Values.tcp -}}
{{- $movable := list (list .containerPort "http") (list .containerPort "https") (list .metrics "port") -}}
{{- if .containerPort.tohttps }}{{ $movable = append $movable (list .containerPort "tohttps") }}{{ end -}}
{{- range $where := $movable -}}
{{- $owner := index $where 0 -}}
{{- $port := get $owner (index $where 1) | int -}}
{{- range $step := until 6 -}}
{{- if has (toString (get $owner (index $where 1))) $taken }}{{ $_ := set $owner (index $where 1) (add 10000 (mod (add $port (mul $step 1009)) 50000)) }}{{ end -}}
{{- end -}}
{{- range $name, $target := $.Values.controller.service.targetPorts -}}
{{- if and (eq (toString $target) (toString $port)) (ne (index $where 1) "port") }}{{ $_ := set $.Values.controller.service.targetPorts $name (index $where 1) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
