{{/* Names and labels. Whatever selects pods uses rewamp.selectorLabels, which never change in the life of a release. */}}
{{- define "rewamp.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{/* 52 characters: a pod's name, plus "-headless" or a revision hash, stays a valid label. */}}
{{- define "rewamp.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "rewamp.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "rewamp.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "rewamp.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rewamp.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rewamp.labels" -}}
{{ include "rewamp.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "rewamp.configMapName" -}}
{{- .Values.existingConfigMap | default (include "rewamp.fullname" .) -}}
{{- end }}

{{- define "rewamp.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "rewamp.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end }}

{{- define "rewamp.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}
