{{- define "sipbridge.name" -}}
{{- if contains "sipbridge" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-sipbridge{{ end }}
{{- end }}

{{- define "sipbridge.selector" -}}
app.kubernetes.io/name: sipbridge
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sipbridge.labels" -}}
{{ include "sipbridge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
