{{/* The node's configuration, in the form of a Crossbar.io node configuration. The ports are the container's: 8080
WebSocket, 8081 RawSocket, 8082 admin. Secrets can stand in it by reference only, which values.schema.json sees to. */}}
{{- define "rewamp.config" -}}
{{- $values := .Values -}}
{{- $realms := list -}}
{{- range $values.realms -}}
{{- $realm := deepCopy . -}}
{{- if eq (dig "store" "type" "" $realm) "sled" -}}
{{- $_ := set $realm.store "path" (printf "%s/%s" $values.storage.mountPath $realm.name) -}}
{{- end -}}
{{- $realms = append $realms $realm -}}
{{- end -}}
{{- $auth := $values.auth | default (dict "anonymous" (dict "type" "static" "role" "anonymous")) -}}
{{- $websocket := dict "type" "websocket" "auth" $auth -}}
{{- with $values.websocket.options }}{{ $_ := set $websocket "options" . }}{{ end -}}
{{- $transports := list (dict "type" "web" "endpoint" (include "rewamp.endpoint" (list $values 8080) | fromJson) "paths" (dict $values.websocket.path $websocket)) -}}
{{- if $values.rawsocket.enabled -}}
{{- $transports = append $transports (dict "type" "rawsocket" "endpoint" (include "rewamp.endpoint" (list $values 8081) | fromJson) "auth" $auth) -}}
{{- end -}}
{{- $worker := dict "type" "router" "realms" $realms "transports" $transports -}}
{{- $admin := include "rewamp.endpoint" (list $values 8082) | fromJson -}}
{{- dict "version" 2 "workers" (list $worker) "rewamp" (dict "admin" $admin) | toPrettyJson -}}
{{- end }}

{{- define "rewamp.endpoint" -}}
{{- dict "type" "tcp" "interface" (index . 0).interface "port" (index . 1) | toJson -}}
{{- end }}
