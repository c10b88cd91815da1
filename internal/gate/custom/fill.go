package custom

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio"
)

// podsInQuery bounds the names in a query: the first ones by name stand for all.
const podsInQuery = 500

// errNoPods means that nothing runs on a revision.
var errNoPods = errors.New("no pod has a proxy of the revision")

// fill replaces the parameters of a query by those of the member and of the revision that is measured.
func fill(ctx context.Context, m *gate.Subject, query, revision, version string) (string, error) {
	pairs := []string{
		"$(member)", m.Cluster, "$(namespace)", m.Namespace, "$(from)", m.From, "$(to)", m.To,
		"$(revision)", revision, "$(version)", version,
	}
	if strings.Contains(query, "$(pods)") {
		names, err := podsOf(ctx, m, revision)
		if err != nil {
			return "", err
		}
		if len(names) == 0 {
			return "", fmt.Errorf("%w %s", errNoPods, revision)
		}
		// A class of one character matches a dot in any kind of quotes.
		pairs = append(pairs, "$(pods)", strings.ReplaceAll(strings.Join(names[:min(len(names), podsInQuery)], "|"), ".", "[.]"))
	}
	return strings.NewReplacer(pairs...).Replace(query), nil
}

// podsOf names the pods with a proxy of a revision, in order.
func podsOf(ctx context.Context, m *gate.Subject, revision string) ([]string, error) {
	var names []string
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	for {
		if err := m.Client.List(ctx, list, client.HasLabels{gate.InjectedLabel}, client.Limit(gate.PageSize), client.Continue(list.Continue)); err != nil {
			return nil, fmt.Errorf("list injected pods: %w", err)
		}
		for i := range list.Items {
			if p := &list.Items[i]; p.Annotations[istio.RevisionLabel] == revision && p.DeletionTimestamp == nil {
				names = append(names, p.Name)
			}
		}
		if list.Continue == "" {
			slices.Sort(names)
			return slices.Compact(names), nil
		}
	}
}
