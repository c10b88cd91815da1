package member

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/schedule"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/workloads"
)

// workloads moves the workloads and asks the gates all the while, so that what is wrong with the new revision shows in the
// first batch. No batch begins before all say yes.
func (s *stages) workloads(ctx context.Context, pass *member.Pass) (meshv1alpha1.StageState, string, error) {
	verdict, said, err := s.askBetween(ctx, pass)
	if err != nil || verdict == meshv1alpha1.StageFailed {
		return verdict, said, err
	}
	hold := ""
	if verdict != meshv1alpha1.StageDone {
		hold = "waits for the gates"
	}
	state, message, err := s.moveWorkloads(ctx, pass, hold)
	switch {
	case err != nil || state == meshv1alpha1.StageFailed:
		return state, message, err
	case state == meshv1alpha1.StageDone:
		return s.askGates(ctx, pass, schedule.WithTraffic(pass.Object.Spec.Rollout.Gates))
	case verdict == meshv1alpha1.StageDone:
		return state, message, nil
	case verdict == meshv1alpha1.StageInconclusive:
		state = verdict
	}
	return state, message + "; " + said, nil
}

// moveWorkloads restarts workloads in batches until every one has the proxy that its namespace's tag asks for. Between
// the namespaces that go first and the rest, the gates are asked. Nothing more is restarted while there is a reason to hold.
func (s *stages) moveWorkloads(ctx context.Context, pass *member.Pass, hold string) (meshv1alpha1.StageState, string, error) {
	if pass.Now.Sub(pass.Object.Status.Rollout.Since.Time) < tagsSettle || pass.Now.Sub(s.parts.ControlPlane.TagsWritten(pass)) < tagsSettle {
		return meshv1alpha1.StageProgressing, "the tags have just been moved", nil
	}
	request, err := moveRequest(pass)
	if err != nil {
		return "", "", err
	}
	request.Hold = hold
	report, err := restartBatch(ctx, pass, request)
	if err != nil {
		return "", "", err
	}
	if report.Check {
		state, message, err := s.askGates(ctx, pass, schedule.WithTraffic(pass.Object.Spec.Rollout.Gates))
		if err != nil || state != meshv1alpha1.StageDone {
			return state, "the workloads of the first namespaces have moved; " + message, err
		}
		rollout := pass.Object.Status.Rollout
		rollout.Gates = gate.StartOver(rollout.Gates, pass.Object.Spec.Rollout.Gates, pass.Now)
		s.memory.Of(pass).answers = nil
		request.Checked = true
		if report, err = restartBatch(ctx, pass, request); err != nil {
			return "", "", err
		}
	}
	state, message := progressOf(report)
	return state, message, nil
}

func restartBatch(ctx context.Context, pass *member.Pass, request workloads.Request) (workloads.Report, error) {
	report, err := workloads.Move(ctx, pass.Remote, pass.Look(), request)
	if err == nil {
		pass.Object.Status.Rollout.Workloads = meshv1alpha1.WorkloadCounts{
			Total: int32(report.Total), Moved: int32(report.Moved), MovedPods: int32(report.MovedPods), Skipped: mesh.SampleOf(report.Skipped), //nolint:gosec // far fewer than 2^31
		}
	}
	return report, err
}

// moveRequest says where the work order wants the workloads.
func moveRequest(pass *member.Pass) (workloads.Request, error) {
	spec := &pass.Object.Spec
	request := workloads.Request{
		Namespace: pass.Namespace(), Tags: map[string]string{controlplane.DefaultTag: spec.DefaultRevision},
		Method: spec.Restart.Method, MaxUnavailable: spec.Restart.MaxUnavailable, Now: pass.Now,
		Back:      spec.Rollout.Stage == meshv1alpha1.StageRollback,
		HasFailed: spec.Rollout.Stage == meshv1alpha1.StageRollback && spec.Rollout.Cause == meshv1alpha1.CauseFailed,
	}
	for _, t := range mesh.Tags(pass.Object) {
		request.Tags[t.Name] = t.Revision
	}
	for i := range spec.Revisions {
		rev := &spec.Revisions[i]
		request.Revisions = append(request.Revisions, rev.Name)
		if rev.Name == spec.DefaultRevision {
			var err error
			if request.InjectsByDefault, err = controlplane.InjectsByDefault(rev); err != nil {
				return workloads.Request{}, err
			}
		}
	}
	request.Revisions = append(request.Revisions, mesh.RetiringNames(pass.Object)...)
	if spec.Restart.FirstNamespaces != nil {
		first, err := metav1.LabelSelectorAsSelector(spec.Restart.FirstNamespaces)
		if err != nil {
			return workloads.Request{}, fmt.Errorf("spec.dataPlane.restart.firstNamespaces: %w", err)
		}
		request.First = first
	}
	return request, nil
}

func progressOf(report workloads.Report) (meshv1alpha1.StageState, string) {
	switch {
	case report.Failed != "":
		return meshv1alpha1.StageFailed, report.Failed
	case report.Done:
		return meshv1alpha1.StageDone, fmt.Sprintf("%d of %d workloads moved", report.Moved, report.Total)
	case len(report.Blocked) > 0 && len(report.Restarting) == 0:
		return meshv1alpha1.StageInconclusive, "blocked: " + mesh.Sentences(report.Blocked, mesh.NamesShown)
	}
	message := fmt.Sprintf("%d of %d workloads moved", report.Moved, report.Total)
	if len(report.Restarting) > 0 {
		message += "; restarting " + mesh.List(report.Restarting, len(report.Restarting))
	}
	return meshv1alpha1.StageProgressing, message
}
