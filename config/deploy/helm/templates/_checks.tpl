{{- /* What a node needs after its drain: 25 s for the last handoffs and 10 s to close. */}}
{{- define "sipbridge.afterDrainSeconds" -}}35{{- end }}

{{- /* Before a node gets SIGTERM, its address leaves the Service. */}}
{{- define "sipbridge.sleepSeconds" -}}5{{- end }}

{{- /* From the kill of a node that stands still until it has read its journal. */}}
{{- define "sipbridge.restartSeconds" -}}5{{- end }}

{{- /* Refuses values with which callers would be lost. */}}
{{- define "sipbridge.checks" -}}
{{- $config := .Values.config }}

{{- $stop := addf (include "sipbridge.sleepSeconds" .) $config.drain_seconds (include "sipbridge.afterDrainSeconds" .) }}
{{- if le (float64 .Values.terminationGracePeriodSeconds) $stop }}
{{- fail (printf "terminationGracePeriodSeconds: %v s end a node in the middle of its drain; give more than %v (%s s until its address has left the Service, config.drain_seconds, and %s s for the last handoffs)" .Values.terminationGracePeriodSeconds $stop (include "sipbridge.sleepSeconds" .) (include "sipbridge.afterDrainSeconds" .)) }}
{{- end }}

{{- $probe := .Values.livenessProbe }}
{{- $back := addf (mulf $probe.periodSeconds $probe.failureThreshold) $probe.timeoutSeconds (include "sipbridge.restartSeconds" .) }}
{{- $takeover := mulf 2 $config.node.lease_seconds }}
{{- if ge $back $takeover }}
{{- fail (printf "livenessProbe: a node that stands still is back after %v s, and another node takes its calls over after %v (twice config.node.lease_seconds); probe more often, or raise lease_seconds" $back $takeover) }}
{{- end }}

{{- $scaling := .Values.autoscaling }}
{{- if $scaling.enabled }}
{{- if gt (float64 $scaling.callsPerNode) (float64 $config.sip.max_calls) }}
{{- fail (printf "autoscaling.callsPerNode: %v are more than config.sip.max_calls (%v), so calls would be rejected before a node is added" $scaling.callsPerNode $config.sip.max_calls) }}
{{- end }}
{{- if gt (float64 $scaling.minReplicas) (float64 $scaling.maxReplicas) }}
{{- fail "autoscaling.minReplicas: exceeds maxReplicas" }}
{{- end }}
{{- if not .Values.serviceMonitor.enabled }}
{{- fail "autoscaling: needs the calls in progress in Prometheus; set serviceMonitor.enabled" }}
{{- end }}
{{- end }}

{{- include "sipbridge.secretChecks" (dict "value" $config "path" "config" "key" "") }}
{{- end }}

{{- /* Refuses a secret in plain text: values are stored in the cluster, and shown by `helm get values`. */}}
{{- define "sipbridge.secretChecks" -}}
{{- $secrets := list "access_key_secret" "api_keys" "auth_token" "client_secret" "keys" "password" "pop_link_secret" "secret" "signature_token" }}
{{- $path := .path }}{{ $key := .key }}
{{- if kindIs "map" .value }}
{{- range $name, $value := .value }}
{{- if not (and (eq $key "headers") (eq $name "auth_token")) }}
{{- include "sipbridge.secretChecks" (dict "value" $value "path" (printf "%s.%s" $path $name) "key" $name) }}
{{- end }}
{{- end }}
{{- else if kindIs "slice" .value }}
{{- range .value }}
{{- include "sipbridge.secretChecks" (dict "value" . "path" $path "key" $key) }}
{{- end }}
{{- else if and (has $key $secrets) .value (not (regexMatch "^(file|sha256):" (toString .value))) }}
{{- fail (printf "%s: is a secret in plain text; put it into the Secret of existingSecret, and write file:/etc/sipbridge/secrets/KEY" $path) }}
{{- else if regexMatch "^redis.*://[^/]*@|_password=" (toString .value) }}
{{- fail (printf "%s: holds a password; put the URL into the Secret of existingSecret, and write file:/etc/sipbridge/secrets/KEY" $path) }}
{{- end }}
{{- end }}
