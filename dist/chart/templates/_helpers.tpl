{{/* Labels of every object, besides those that it has in config. */}}
{{- define "meshfleet.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{/* The operator's image: by its digest if there is one, else by its tag. */}}
{{- define "meshfleet.image" -}}
{{- $image := .Values.manager.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Not empty if the ServiceMonitor is wanted. */}}
{{- define "meshfleet.serviceMonitor" -}}
{{- if .Values.metrics.serviceMonitor.enable -}}
{{- if not .Values.metrics.enable -}}
{{- fail "metrics.serviceMonitor.enable is true, but metrics.enable is false: set both to true, or both to false" -}}
{{- end -}}
true
{{- end -}}
{{- end }}

{{/* Not empty if the PrometheusRule is wanted. */}}
{{- define "meshfleet.prometheusRule" -}}
{{- if .Values.metrics.prometheusRule.enable -}}
{{- if not .Values.metrics.enable -}}
{{- fail "metrics.prometheusRule.enable is true, but metrics.enable is false: set both to true, or both to false" -}}
{{- end -}}
true
{{- end -}}
{{- end }}

{{/* Fails if a part of an issuer is given, but not its name. */}}
{{- define "meshfleet.checkIssuer" -}}
{{- with .Values.certManager.issuerRef -}}
{{- if and (not .name) (or .group (ne .kind "Issuer")) -}}
{{- fail (printf "certManager.issuerRef has the kind %q and the group %q, but no name: set certManager.issuerRef.name" .kind .group) -}}
{{- end -}}
{{- end -}}
{{- end }}
