package chart

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// place is where an object is in the chart.
type place struct {
	// path is the path of the file; in directories, the directory below templates.
	path string
	// file is the name of the file in directories. Default: the name of the object and its kind.
	file string
	// guard is the condition of the template. Empty: the object is always installed.
	guard string
}

// Conditions of templates.
const (
	guardCRD     = ".Values.crd.enable"
	guardMetrics = ".Values.metrics.enable"
	guardIssuer  = "not .Values.certManager.issuerRef.name"
	guardPolicy  = ".Values.networkPolicy.enable"
	// The helpers fail if there are no metrics to read.
	guardMonitor = `include "meshfleet.serviceMonitor" .`
	guardRule    = `include "meshfleet.prometheusRule" .`
	guardHelpers = ".Values.rbacHelpers.enable"
)

// directories are the kinds that have a directory of their own, as kubebuilder names them.
var directories = map[string]place{
	"CustomResourceDefinition":       {path: "crd", guard: guardCRD},
	"Deployment":                     {path: "manager", file: "manager"},
	"PodDisruptionBudget":            {path: "manager"},
	"ServiceAccount":                 {path: "rbac"},
	"Role":                           {path: "rbac"},
	"RoleBinding":                    {path: "rbac"},
	"ClusterRole":                    {path: "rbac"},
	"ClusterRoleBinding":             {path: "rbac"},
	"ValidatingWebhookConfiguration": {path: "webhook", file: "validating-webhook-configuration"},
	"MutatingWebhookConfiguration":   {path: "webhook", file: "mutating-webhook-configuration"},
	"Certificate":                    {path: "cert-manager", file: "serving-cert"},
	"Issuer":                         {path: "cert-manager", guard: guardIssuer},
	"NetworkPolicy":                  {path: "network-policy", guard: guardPolicy},
	"ServiceMonitor":                 {path: "prometheus", guard: guardMonitor},
	"PrometheusRule":                 {path: "prometheus", guard: guardRule},
}

// placeOf returns the file of an object and its condition. A kind that has no place is an error: somebody must decide.
func placeOf(u *unstructured.Unstructured) (place, error) {
	where, ok := directories[u.GetKind()]
	short := strings.TrimPrefix(u.GetName(), Name+"-")
	switch {
	case u.GetKind() == "Service" && strings.HasSuffix(short, "-metrics"):
		where = place{path: "metrics", guard: guardMetrics}
	case u.GetKind() == "Service" && short == "webhook":
		where = place{path: "webhook"}
	case !ok:
		return place{}, fmt.Errorf("the chart has no place for the %s %q: add its kind to directories", u.GetKind(), u.GetName())
	}
	if where.path == "rbac" && strings.HasPrefix(short, "metrics-") {
		where.guard = guardMetrics
	}
	if helperOf(u) != "" {
		where.guard = guardHelpers
	}
	if where.file == "" {
		where.file = short + "-" + strings.ToLower(u.GetKind())
	}
	if u.GetKind() == "CustomResourceDefinition" {
		where.file = u.GetName()
	}
	where.path = fmt.Sprintf("templates/%s/%s.yaml", where.path, where.file)
	return where, nil
}

// helperSuffixes are the ends of names of ClusterRoles for people, and the values that they have in rbacHelpers.aggregate.
var helperSuffixes = []string{"viewer", "editor", "steering", "approver"}

// helperOf returns the value of rbacHelpers.aggregate that a ClusterRole for people follows, and nothing for another object.
func helperOf(u *unstructured.Unstructured) string {
	if u.GetKind() != "ClusterRole" {
		return ""
	}
	for _, suffix := range helperSuffixes {
		if strings.HasSuffix(u.GetName(), "-"+suffix) {
			return suffix
		}
	}
	return ""
}
