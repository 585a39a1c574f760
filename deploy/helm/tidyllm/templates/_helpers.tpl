{{- define "tidyllm.labels" -}}
app.kubernetes.io/name: tidyllm
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "tidyllm.selector" -}}
app.kubernetes.io/name: tidyllm
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
