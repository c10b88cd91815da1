package member

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

// tellContested reports whether other clients keep changing objects of the operator. Ready does not depend on it: the operator restores
// the objects each time.
func tellContested(pass *member.Pass) {
	if pass.Remote == nil {
		return
	}
	pass.Aside = append(pass.Aside, soleWriter(pass.Applier().Contested()))
}

func soleWriter(contested []apply.Contested) status.Outcome {
	o := status.Outcome{Type: meshv1alpha1.ConditionSoleWriter, Aside: true}
	if len(contested) == 0 {
		o.Result = phase.Complete(meshv1alpha1.ReasonReady, "no other client keeps changing the operator's objects")
		return o
	}
	byManager := map[string][]string{}
	for _, c := range contested {
		byManager[c.Manager] = append(byManager[c.Manager], c.Object.String())
	}
	var texts []string
	for _, manager := range slices.Sorted(maps.Keys(byManager)) {
		name := "a client without a name"
		if manager != "" {
			name = "client " + strconv.Quote(manager)
		}
		texts = append(texts, fmt.Sprintf("%s keeps changing %s", name, mesh.List(byManager[manager], len(byManager[manager]))))
	}
	o.Result = phase.Waiting(meshv1alpha1.ReasonObjectsContested, mesh.Sentences(texts, mesh.NamesShown)+
		"; the operator restores them each time: take them out of what that client applies", 0)
	return o
}
