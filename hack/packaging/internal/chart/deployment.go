package chart

import (
	"fmt"
	"strings"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

// podValues are the fields of the pod that are values below manager, by their names in the pod.
var podValues = map[string]string{
	"affinity":                  "affinity",
	"imagePullSecrets":          "imagePullSecrets",
	"nodeSelector":              "nodeSelector",
	"securityContext":           "podSecurityContext",
	"tolerations":               "tolerations",
	"topologySpreadConstraints": "topologySpreadConstraints",
}

// editDeployment puts the values below manager into the Deployment.
func (h *holes) editDeployment(object map[string]any) error {
	spec, err := child(object, "spec")
	if err != nil {
		return err
	}
	spec["replicas"] = h.block("replicas: {{ .Values.manager.replicas }}")
	for field, value := range map[string]string{"labels": "manager.podLabels", "annotations": "manager.podAnnotations"} {
		metadata, err := child(spec, "template", "metadata", field)
		if err != nil {
			return err
		}
		metadata["zz-extra"] = h.block(items(value))
	}
	pod, err := child(spec, "template", "spec")
	if err != nil {
		return err
	}
	for field, value := range podValues {
		pod[field] = h.block(optional("manager."+value, field))
	}
	pod["priorityClassName"] = h.block("{{- with .Values.manager.priorityClassName }}\npriorityClassName: {{ . | quote }}\n{{- end }}")
	if err := h.appendItems(pod, "volumes", "manager.extraVolumes"); err != nil {
		return err
	}
	containers, err := list(pod, "containers")
	if err != nil {
		return err
	}
	_, container, err := find(containers, "name", manifests.ManagerContainer)
	if err != nil {
		return err
	}
	return h.editContainer(container)
}

func (h *holes) editContainer(container map[string]any) error {
	container["image"] = h.expression(`{{ include "meshfleet.image" . | quote }}`)
	container["imagePullPolicy"] = h.expression("{{ .Values.manager.image.pullPolicy | quote }}")
	container["resources"] = h.block(optional("manager.resources", "resources"))
	container["securityContext"] = h.block(optional("manager.securityContext", "securityContext"))
	if err := h.appendItems(container, "env", "manager.env"); err != nil {
		return err
	}
	if err := h.appendItems(container, "volumeMounts", "manager.extraVolumeMounts"); err != nil {
		return err
	}
	if err := h.guardMetricsPort(container); err != nil {
		return err
	}
	args, err := list(container, "args")
	if err != nil {
		return err
	}
	lines, err := argumentLines(args)
	if err != nil {
		return err
	}
	container["args"] = h.block(lines)
	return nil
}

// guardMetricsPort leaves the port of the metrics out if there are none.
func (h *holes) guardMetricsPort(container map[string]any) error {
	ports, err := list(container, "ports")
	if err != nil {
		return err
	}
	index, port, err := find(ports, "name", "metrics")
	if err != nil {
		return err
	}
	lines, err := listItem(port)
	if err != nil {
		return err
	}
	ports[index] = h.block("{{- if .Values.metrics.enable }}\n" + lines + "{{- end }}")
	return nil
}

// appendItems adds the items of a value to a list of an object.
func (h *holes) appendItems(object map[string]any, field, value string) error {
	entries, err := list(object, field)
	if err != nil {
		return err
	}
	object[field] = append(entries, h.block(items(value)))
	return nil
}

// metricsFlag is the only argument of config/default that depends on a value.
const metricsFlag = "--metrics-bind-address="

// How a value is written as the argument of a flag. Helm reads a number as a floating-point one: int makes it a whole one again.
const (
	asText  = "{{- with .Values.%[2]s }}\n- {{ printf \"%[1]s=%%s\" . | quote }}\n{{- end }}\n"
	asList  = "{{- with .Values.%[2]s }}\n- {{ join \",\" . | printf \"%[1]s=%%s\" | quote }}\n{{- end }}\n"
	asCount = "{{- if int .Values.%[2]s }}\n- {{ int .Values.%[2]s | printf \"%[1]s=%%d\" | quote }}\n{{- end }}\n"
)

// flagValues are the flags of the operator that have values of their own, in their order.
var flagValues = []struct{ flag, value, format string }{
	{"--charts", "manager.charts", asText},
	{"--charts-allowed", "manager.chartsAllowed", asList},
	{"--member-concurrency", "manager.memberConcurrency", asCount},
	{"--installation-concurrency", "manager.installationConcurrency", asCount},
	{"--member-probe-interval", "manager.memberProbeInterval", asText},
	{"--member-down-after", "manager.memberDownAfter", asText},
	{"--zap-log-level", "manager.logLevel", asText},
	{"--zap-encoder", "manager.logEncoder", asText},
}

// argumentLines returns the arguments of config/default, those that have values, and those of manager.args.
func argumentLines(args []any) (string, error) {
	var out strings.Builder
	out.WriteString("args:\n")
	hasMetrics := false
	for _, argument := range args {
		line, err := listItem(argument)
		if err != nil {
			return "", err
		}
		if text, ok := argument.(string); ok && strings.HasPrefix(text, metricsFlag) {
			hasMetrics = true
			line = fmt.Sprintf("{{- if .Values.metrics.enable }}\n%s{{- else }}\n- %s0\n{{- end }}\n", line, metricsFlag)
		}
		out.WriteString(line)
	}
	if !hasMetrics {
		return "", fmt.Errorf("the container has no argument %s", metricsFlag)
	}
	for _, f := range flagValues {
		fmt.Fprintf(&out, f.format, f.flag, f.value)
	}
	out.WriteString("{{- range .Values.manager.args }}\n- {{ . | quote }}\n{{- end }}")
	return out.String(), nil
}
