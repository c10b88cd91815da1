package crd

import "fmt"

// orderedGates are gates in a work order.
const orderedGates = `spec: {rollout: {upgrade: shop-1, from: {name: a, version: 1.28.3}, to: {name: b, version: 1.29.1}, stage: Soak, gates: [%s]}}`

const (
	query    = `{name: own, prometheus: {url: "http://prometheus:9090", query: up, %s}}`
	hook     = `{name: own, webhook: {url: "http://server", %s}}`
	url      = `{name: own, webhook: {url: %q}}`
	expr     = `{name: own, prometheus: {url: "http://prometheus", query: %q, max: "1"}}`
	samples  = `{name: own, prometheus: {url: "http://prometheus", query: up, max: "1", samples: {query: %q, min: "100"}}}`
	compared = `{name: own, prometheus: {url: "http://prometheus", query: %q, max: "1", compare: Ratio}}`
)

// gateCases are the cases of gates in the document that has them.
func gateCases(document string) []ruleCases {
	in := func(gate string, args ...string) []string {
		var out []string
		for _, arg := range args {
			out = append(out, fmt.Sprintf(document, fmt.Sprintf(gate, arg)))
		}
		return out
	}
	return []ruleCases{
		{
			message: "spec.upgrade.gates[].url: an http or https URL without a user name",
			accepts: in(url, "http://prometheus.monitoring:9090", "https://thanos.example.com/tenant/a?dedup=true", "http://[fd00::1]:9090"),
			rejects: in(url, "prometheus:9090", "ftp://prometheus", "https://", "https://user:word@prometheus", "/path"),
		},
		{
			message: "spec.upgrade.gates[]: secretRef needs a url with https, because the token must not be sent unencrypted",
			accepts: in(`{name: own, webhook: {url: %q, secretRef: {name: s}}}`, "https://server"),
			rejects: append(in(`{name: own, webhook: {url: %q, secretRef: {name: s}}}`, "http://server"),
				in(`{name: own, prometheus: {url: %q, secretRef: {name: s}, query: up, min: "1"}}`, "http://server")...),
		},
		{
			message: "spec.upgrade.gates[].timeout: from 1s to 30s",
			accepts: in(hook, `timeout: 1s`, `timeout: 30s`),
			rejects: in(hook, `timeout: 999ms`, `timeout: 31s`),
		},
		{
			message: "spec.upgrade.gates[].webhook.interval: at least 5s",
			accepts: in(hook, `interval: 5s`, `interval: 1h`),
			rejects: in(hook, `interval: 4s`),
		},
		{
			message: "spec.upgrade.gates[].prometheus.interval: at least 10s",
			accepts: in(query, `max: "1", interval: 10s`),
			rejects: in(query, `max: "1", interval: 9s`),
		},
		{
			message: "spec.upgrade.gates[].prometheus: bounds are numbers, such as 0.01, -3 or 1e6",
			accepts: in(query, `max: "0.01"`, `min: "-3"`, `min: "+1e6"`, `max: "1.5E-3"`),
			rejects: in(query, `max: "1%"`, `max: NaN`, `max: "+Inf"`, `min: "1."`, `min: "0x10"`, `max: "1,5"`, `max: "1e999"`),
		},
		{
			message: "spec.upgrade.gates[].prometheus: set min, max or both",
			accepts: in(query, `min: "1"`, `max: "1"`, `min: "1", max: "1"`),
			rejects: in(query, `count: 1`),
		},
		{
			message: "spec.upgrade.gates[].prometheus: min must not be greater than max",
			accepts: in(query, `min: "-1", max: "1e-2"`),
			rejects: in(query, `min: "2", max: "1e-2"`),
		},
		{
			message: "spec.upgrade.gates[].prometheus.query: $(...) must be member, namespace, from, to, revision, version or pods",
			accepts: in(expr, `a{b="$(member)",c="$(namespace)",d="$(from)",e="$(to)"}`, `a{b=~"$(pods)$",c="$(revision)",d="$(version)"}`, `a{b=~"x$"}`),
			rejects: in(expr, `a{b="$(cluster)"}`, `a{b="$(member)",c="$()"}`),
		},
		{
			message: "spec.upgrade.gates[].prometheus.samples.query: $(...) must be member, namespace, from, to, revision, version or pods",
			accepts: in(samples, `a{b="$(member)"}`),
			rejects: in(samples, `a{b="$(Member)"}`),
		},
		{
			message: "spec.upgrade.gates[].prometheus.compare: the query must distinguish the revisions by $(revision), $(version) or $(pods)",
			accepts: in(compared, `a{b="$(revision)"}`, `a{b="$(version)"}`, `a{b=~"$(pods)"}`),
			rejects: in(compared, `a{b="$(member)"}`, `a{b="$(to)"}`),
		},
	}
}
