{{/* The release's objects: the release's name, with rivulet in it. */}}
{{- define "rivulet.name" -}}
{{- if contains "rivulet" .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- else -}}{{ printf "%s-rivulet" .Release.Name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end }}

{{/* Objects outside namespaces: two installs in one cluster must not meet. */}}
{{- define "rivulet.clusterName" -}}
{{ .Release.Namespace }}-{{ include "rivulet.name" . }}-operator
{{- end }}

{{- define "rivulet.selector" -}}
app.kubernetes.io/name: rivulet
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rivulet.labels" -}}
{{ include "rivulet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "rivulet.region" -}}
{{ required "region is required: say once which region this cluster is, as in --set region=eu (the name of its CDNRegion)" .Values.region }}
{{- end }}

{{/* image reference of (dict "image" IMAGE "version" APPVERSION) */}}
{{- define "rivulet.image" -}}
{{ .image.repository }}{{ if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .version }}{{ end }}
{{- end }}
