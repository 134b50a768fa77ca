{{/* What the values hold of ingress-nginx's that has no meaning here, as lines. A value is quiet if it is one of the record's, or a map
in which those fields are so: {enabled: false} is quiet whatever else an old file has there. */}}

{{- define "usher.foundOldValues" -}}
{{- range (.Files.Get "files/old-values.yaml" | fromYamlArray) -}}
{{- $at := dict "value" $.Values "found" true -}}
{{- range splitList "." .key -}}
{{- if and $at.found (kindIs "map" $at.value) (hasKey $at.value .) -}}
{{- $_ := set $at "value" (index $at.value .) -}}
{{- else -}}
{{- $_ := set $at "found" false -}}
{{- end -}}
{{- end -}}
{{- if and $at.found (not (include "usher.isQuiet" (list $at.value .quiet))) -}}
{{ list (dict "key" .key "why" .why "refused" .refused) | toYaml }}{{ print "\n" }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "usher.oldValues" -}}
{{- range include "usher.foundOldValues" . | fromYamlArray }}{{ printf "%s: %s\n" .key .why }}{{ end -}}
{{- end -}}

{{/* All that is set and does nothing, a line each. */}}
{{- define "usher.ignored" -}}
{{- include "usher.oldValues" . -}}
{{- if has "/wait-shutdown" (dig "preStop" "exec" "command" (list) .Values.controller.lifecycle) -}}
{{- print "controller.lifecycle.preStop: Usher waits by itself, for controller.shutdownDelay\n" -}}
{{- end -}}
{{- $flags := .Files.Get "files/flags.yaml" | fromYaml -}}
{{- range $flag, $_ := .Values.controller.extraArgs -}}
{{- if has $flag $flags.adopted }}{{ printf "controller.extraArgs.%s: ingress-nginx's; docs/flags.md says what applies\n" $flag }}{{ end -}}
{{- end -}}
{{- $known := .Files.Get "files/config-keys.yaml" | fromYaml -}}
{{- range $key, $_ := .Values.controller.config -}}
{{- if hasKey $known.needless $key -}}
{{- printf "controller.config.%s: %s\n" $key (get $known.needless $key) -}}
{{- else if not (has $key (concat $known.honoured $known.ignored $known.closing)) -}}
{{- printf "controller.config.%s: there is no such key (docs/configmap.md)\n" $key -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What is done in another way than the values ask for, a line each. */}}
{{- define "usher.adapted" -}}
{{- with .Values.controller -}}
{{- $delay := include "usher.shutdownDelay" $ | int -}}
{{- if lt $delay (int .shutdownDelay) -}}
{{- printf "controller.terminationGracePeriodSeconds: %v leaves no room for controller.shutdownDelay %v, so it is %d, and requests in flight have %s s after it\n" .terminationGracePeriodSeconds .shutdownDelay $delay (include "usher.gracePeriod" $) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What waits for a later release, a line each. */}}
{{- define "usher.notYet" -}}
{{- $known := .Files.Get "files/config-keys.yaml" | fromYaml -}}
{{- range $key, $_ := .Values.controller.config -}}
{{- if has $key $known.closing }}{{ printf "controller.config.%s: it restricts access and is not honoured by this release, so every path answers 503\n" $key -}}
{{- else if has $key $known.ignored }}{{ printf "controller.config.%s: not honoured by this release\n" $key }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Keys of the ConfigMap that Usher knows and does not honour, of those that are set; and those of them that close every path. */}}

{{- define "usher.configNotHonoured" -}}
{{- $known := .Files.Get "files/config-keys.yaml" | fromYaml -}}
{{- $found := list -}}
{{- range $key, $_ := .Values.controller.config -}}
{{- if has $key (concat $known.ignored $known.closing) }}{{ $found = append $found (printf "controller.config.%s" $key) }}{{ end -}}
{{- end -}}
{{- if and .Values.controller.proxySetHeaders (has "proxy-set-headers" $known.ignored) }}{{ $found = append $found "controller.proxySetHeaders" }}{{ end -}}
{{- if and .Values.controller.addHeaders (has "add-headers" $known.ignored) }}{{ $found = append $found "controller.addHeaders" }}{{ end -}}
{{- join ", " $found -}}
{{- end -}}

{{- define "usher.configCloses" -}}
{{- $known := .Files.Get "files/config-keys.yaml" | fromYaml -}}
{{- $found := list -}}
{{- range $key, $value := .Values.controller.config -}}
{{- if and (has $key $known.closing) (not (has (toString $value | lower) (list "" "0" "f" "false" "off" "0.0.0.0/0,::/0"))) }}{{ $found = append $found (printf "controller.config.%s" $key) }}{{ end -}}
{{- end -}}
{{- join ", " $found -}}
{{- end -}}

{{/* Values that mean the same here, but hold words that only ingress-nginx's Pods, image and metrics know: which those are. */}}

{{- define "usher.strangeSelectors" -}}
{{- if not (contains "ingress-nginx" (include "usher.selector" .)) -}}
{{- $found := list -}}
{{- range $key := list "affinity" "topologySpreadConstraints" -}}
{{- if contains "ingress-nginx" (tpl (get $.Values.controller $key | toYaml) $) }}{{ $found = append $found (printf "controller.%s" $key) }}{{ end -}}
{{- end -}}
{{- join ", " $found -}}
{{- end -}}
{{- end -}}

{{- define "usher.strangePrograms" -}}
{{- $found := list -}}
{{- range $hook, $action := .Values.controller.lifecycle -}}
{{- $command := dig "exec" "command" (list) $action -}}
{{- if and $command (not (has (first $command) (list "/wait-shutdown" "/usher"))) }}{{ $found = append $found (printf "controller.lifecycle.%s" $hook) }}{{ end -}}
{{- end -}}
{{- join ", " $found -}}
{{- end -}}

{{- define "usher.strangeMetrics" -}}
{{- $found := list -}}
{{- if contains "nginx_ingress_controller_" (toJson .Values.controller.metrics.prometheusRule.rules) }}{{ $found = append $found "controller.metrics.prometheusRule.rules" }}{{ end -}}
{{- if contains "nginx_ingress_controller_" (toJson .Values.controller.autoscalingTemplate) }}{{ $found = append $found "controller.autoscalingTemplate" }}{{ end -}}
{{- join ", " $found -}}
{{- end -}}

{{/* "yes" when a value is one of a list: list of both. */}}
{{- define "usher.isQuiet" -}}
{{- $value := index . 0 -}}
{{- range index . 1 -}}
{{- $quiet := . -}}
{{- if kindIs "map" $quiet -}}
{{- if kindIs "map" $value -}}
{{- $same := dict "all" (or (gt (len $quiet) 0) (eq (len $value) 0)) -}}
{{- range $key, $want := $quiet -}}
{{- if ne (toJson $want) (get $value $key | toJson) }}{{ $_ := set $same "all" false }}{{ end -}}
{{- end -}}
{{- if $same.all }}yes{{ end -}}
{{- end -}}
{{- else if eq (toJson $quiet) (toJson $value) }}yes{{ end -}}
{{- end -}}
{{- end -}}
