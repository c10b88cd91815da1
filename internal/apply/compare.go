package apply

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// seen is the state in which an object was last found right.
type seen struct {
	resourceVersion string
	hash            [sha256.Size]byte
}

// unchangedSince says whether neither what is wanted nor the object has changed since it was last found right. The
// object's resource version comes from the metadata cache; an older cache only causes a read too many.
func (a *Applier) unchangedSince(ctx context.Context, desired *unstructured.Unstructured, key string, hash [sha256.Size]byte) bool {
	a.mu.Lock()
	last, ok := a.known[key]
	a.mu.Unlock()
	if !ok || last.hash != hash {
		return false
	}
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(desired.GroupVersionKind())
	if err := a.cache.Get(ctx, client.ObjectKeyFromObject(desired), live); err != nil {
		return false
	}
	return live.GetResourceVersion() == last.resourceVersion
}

func (a *Applier) remember(key string, hash [sha256.Size]byte, live *unstructured.Unstructured) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known[key] = seen{resourceVersion: live.GetResourceVersion(), hash: hash}
}

func hashOf(o *unstructured.Unstructured) [sha256.Size]byte {
	// Objects come from YAML or from our own maps: they always marshal, with sorted keys.
	raw, err := json.Marshal(o.Object)
	if err != nil {
		panic("object does not marshal: " + err.Error())
	}
	return sha256.Sum256(raw)
}

// holds says whether live has everything that desired says. It errs to the side of false: whatever the API server
// writes differently is settled by its own dry run.
func holds(desired, live any) bool {
	switch d := desired.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			return len(d) == 0 && live == nil
		}
		for k, v := range d {
			lv, present := l[k]
			// The API server drops the empty value of an environment variable.
			if !present && (isEmpty(v) || k == "value" && v == "") {
				continue
			}
			if !present || !holds(v, lv) && !(isResources(k) && sameQuantities(v, lv)) {
				return false
			}
		}
		return true
	case []any:
		l, ok := live.([]any)
		if !ok || len(l) != len(d) {
			return false
		}
		for i := range d {
			if !holds(d[i], l[i]) {
				return false
			}
		}
		return true
	}
	if a, ok := number(desired); ok {
		b, ok := number(live)
		return ok && a == b
	}
	return reflect.DeepEqual(desired, live)
}

// isResources says whether a field holds quantities, which the API server writes in their shortest form.
func isResources(key string) bool { return key == "limits" || key == "requests" }

func sameQuantities(desired, live any) bool {
	d, dOK := desired.(map[string]any)
	l, lOK := live.(map[string]any)
	if !dOK || !lOK || len(d) != len(l) {
		return false
	}
	for k := range d {
		a, errA := resource.ParseQuantity(fmt.Sprint(d[k]))
		b, errB := resource.ParseQuantity(fmt.Sprint(l[k]))
		if errA != nil || errB != nil || a.Cmp(b) != 0 {
			return false
		}
	}
	return true
}

// isEmpty says whether a value means the same as its absence: the API server drops such fields.
func isEmpty(v any) bool {
	switch t := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(t) == 0
	case []any:
		return len(t) == 0
	}
	return false
}

func number(v any) (float64, bool) {
	switch t := v.(type) {
	case int64:
		return float64(t), true
	case int:
		return float64(t), true
	case int32:
		return float64(t), true
	case float64:
		return t, true
	}
	return 0, false
}

// keepRuntimeFields copies into desired what istiod decides at run time: the failurePolicy of validating webhooks,
// which is Ignore until istiod serves. It must be sent at creation, because the API server's default is Fail.
func keepRuntimeFields(desired, live *unstructured.Unstructured) {
	if desired.GetKind() != "ValidatingWebhookConfiguration" {
		return
	}
	policies := map[string]any{}
	if live != nil {
		webhooks, _, _ := unstructured.NestedSlice(live.Object, "webhooks")
		for _, w := range webhooks {
			if m, ok := w.(map[string]any); ok {
				if name, ok := m["name"].(string); ok {
					policies[name] = m["failurePolicy"]
				}
			}
		}
	}
	webhooks, ok := desired.Object["webhooks"].([]any)
	if !ok {
		return
	}
	for _, w := range webhooks {
		if m, ok := w.(map[string]any); ok {
			name, _ := m["name"].(string)
			m["failurePolicy"] = "Ignore"
			if p := policies[name]; p != nil {
				m["failurePolicy"] = p
			}
		}
	}
}

// versionLabel carries the Istio release on every object of the charts.
const versionLabel = "app.kubernetes.io/version"

// isNewerOrManaged says whether a shared object must be left as it is: a newer release brought it, or the Operator
// Lifecycle Manager owns it.
func isNewerOrManaged(live, desired *unstructured.Unstructured) bool {
	labels := live.GetLabels()
	if labels["olm.managed"] == "true" {
		return true
	}
	have := labels[versionLabel]
	return have != "" && istioversion.Compare(have, desired.GetLabels()[versionLabel]) > 0
}

func compareText(a, b string) int { return cmp.Compare(a, b) }
