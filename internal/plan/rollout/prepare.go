package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	planHashLength = 16
	// planNames is how many members a plan names.
	planNames = 10
)

// Preparation is what to write before an upgrade begins.
type Preparation struct {
	// Orders are preflights, by the member's name.
	Orders map[string]meshv1alpha1.Stage
	// Status is the upgrade's, with the plan once every member has been asked.
	Status meshv1alpha1.MeshUpgradeStatus
	// MayBegin says that the plan is the one that is quoted.
	MayBegin bool
	// IsRefused says that it is another one.
	IsRefused bool
	// Hold is set while nothing more happens until a person acts.
	Hold Hold
}

// Prepare plans an upgrade that has not begun: it asks every member, and changes nothing. With a quoted hash it says
// whether the plan is that one.
func Prepare(in Input, quoted string) Preparation {
	r := newRollout(in, in.Upgrade.Status.DeepCopy())
	r.out.Status.StartedAt = nil
	r.survey()
	r.count()
	p := Preparation{Orders: r.out.Orders, Status: r.out.Status}
	if missing, hasFailed := r.unplanned(); missing != "" {
		p.Status.Phase, p.Status.Plan, p.Status.Message = meshv1alpha1.UpgradePlanning, nil, missing
		if hasFailed {
			p.Hold = Hold{meshv1alpha1.ReasonPreflightBlocked, "correct the spec of the MeshInstallation"}
		}
		return p
	}
	sum := r.plan()
	p.Status.Phase, p.Status.Plan = meshv1alpha1.UpgradePlanned, sum
	p.Status.Message = fmt.Sprintf("plan %s: %d members; %d objects added, %d changed, %d removed; %d workloads to restart",
		sum.Hash, sum.Members, sum.Added, sum.Changed, sum.Removed, sum.Restarts)
	if sum.Budgets > 0 {
		p.Status.Message += fmt.Sprintf("; %d PodDisruptionBudgets allow nothing now", sum.Budgets)
	}
	if why, isBlocked := preflights(r.members); isBlocked {
		p.Status.Message += "; " + why
	}
	switch quoted {
	case sum.Hash:
		p.MayBegin = true
	case "":
		p.Hold = Hold{meshv1alpha1.ReasonUpgradePlanned, "to start it, set spec.upgrade.mode to Run, or to Locked with the plan's hash in planHash"}
	default:
		p.IsRefused = true
		p.Hold = Hold{meshv1alpha1.ReasonPlanRefused, "spec.upgrade.planHash quotes " + quoted + "; read the plan and quote its hash"}
	}
	return p
}

// unplanned says which members have not been planned, empty if all are, and whether some cannot be.
func (v *view) unplanned() (why string, hasFailed bool) {
	var open, down, failed []string
	for _, p := range v.members {
		switch {
		case p.isThere:
		case p.reports(meshv1alpha1.StageFailed):
			failed = append(failed, fmt.Sprintf("member %q", p.name)+p.says(meshv1alpha1.VerdictFail))
		case p.report != nil && p.report.Changes.Hash != "" && !p.reports(meshv1alpha1.StageProgressing):
		case !p.isReachable:
			down = append(down, p.name)
		default:
			open = append(open, p.name)
		}
	}
	if len(failed) > 0 {
		return "cannot be planned: " + mesh.Sentences(failed, mesh.NamesShown), true
	}
	return strings.TrimPrefix(mesh.Labelled("preflight running", open)+mesh.Labelled("unreachable members", down), ", "), false
}

// plan adds the members up. What it hashes does not change while nobody changes the spec or the operator.
func (v *view) plan() *meshv1alpha1.UpgradePlan {
	out := &meshv1alpha1.UpgradePlan{}
	objects := map[string]string{}
	var blocked []string
	for _, p := range v.members {
		out.Members++
		if p.report == nil {
			objects[p.name] = ""
			continue
		}
		objects[p.name] = p.report.Changes.Hash
		if p.reports(meshv1alpha1.StageInconclusive) {
			blocked = append(blocked, p.name)
		}
		c, f := &p.report.Changes, &p.report.Forecast
		out.Added, out.Changed, out.Removed = out.Added+c.Added.Count, out.Changed+c.Changed.Count, out.Removed+c.Removed.Count
		out.Restarts, out.Pods = out.Restarts+f.Restarts.Count, out.Pods+f.Pods
		out.Budgets, out.Fragile = out.Budgets+f.Budgets.Count, out.Fragile+f.Fragile.Count
	}
	slices.Sort(blocked)
	out.Blocked = meshv1alpha1.Sample{Count: int32(len(blocked)), Names: blocked[:min(len(blocked), planNames)]} //nolint:gosec // bounded by the CRD
	out.Hash = planHash(v.Upgrade.Spec, objects)
	return out
}

func planHash(spec meshv1alpha1.MeshUpgradeSpec, objects map[string]string) string {
	// Where the mesh comes from is in the objects that go. Who asked for another try changes nothing of what it does.
	spec.From, spec.Retry = meshv1alpha1.RevisionTarget{}, nil
	// Strings, numbers, lists and maps of these always marshal, with sorted keys.
	raw, err := json.Marshal(map[string]any{"spec": spec, "objects": objects})
	if err != nil {
		panic("plan does not marshal: " + err.Error())
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])[:planHashLength]
}

// StandingOrders are the stages that an upgrade has ordered, as the work orders say.
func StandingOrders(u *meshv1alpha1.MeshUpgrade, members []meshv1alpha1.MeshMember) map[string]meshv1alpha1.Stage {
	orders := map[string]meshv1alpha1.Stage{}
	for i := range members {
		if o := members[i].Spec.Rollout; o != nil && o.Upgrade == u.Name {
			orders[members[i].Spec.Cluster] = o.Stage
		}
	}
	return orders
}
