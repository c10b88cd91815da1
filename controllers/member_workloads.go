package controllers

import (
	"context"
	"fmt"
	"strings"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/controlplane"
	"github.com/meshfleet/meshfleet/internal/dataplane"
)

// moveWorkloads restarts workloads in batches until every one has the proxy that its namespace's tag asks for.
func (r *MeshMemberReconciler) moveWorkloads(ctx context.Context, s *scope) (meshv1alpha1.StageState, string, error) {
	spec := &s.member.Spec
	request := dataplane.Request{
		Namespace: s.namespace(), Tags: map[string]string{controlplane.DefaultTag: spec.DefaultRevision},
		Method: spec.Restart.Method, MaxUnavailable: spec.Restart.MaxUnavailable, Now: s.now, Back: spec.Rollout.Stage == meshv1alpha1.StageRollBack,
	}
	if s.now.Sub(s.member.Status.Rollout.Since.Time) < tagsSettle {
		return meshv1alpha1.StageProgressing, "the tags have just been moved", nil
	}
	for _, t := range spec.Tags {
		request.Tags[t.Name] = t.Revision
	}
	for _, rev := range spec.Revisions {
		request.Revisions = append(request.Revisions, rev.Name)
	}
	report, err := dataplane.Move(ctx, s.remote, request)
	if err != nil {
		return "", "", err
	}
	s.member.Status.Rollout.Workloads = meshv1alpha1.WorkloadCounts{
		Total: int32(report.Total), Moved: int32(report.Moved), Skipped: report.Skipped, //nolint:gosec // far fewer than 2^31
	}
	switch {
	case report.Failed != "":
		return meshv1alpha1.StageFailed, report.Failed, nil
	case report.Done:
		return meshv1alpha1.StageDone, fmt.Sprintf("%d of %d workloads moved", report.Moved, report.Total), nil
	case len(report.Blocked) > 0 && len(report.Restarting) == 0:
		return meshv1alpha1.StageInconclusive, "blocked: " + strings.Join(report.Blocked, "; "), nil
	}
	return meshv1alpha1.StageProgressing, fmt.Sprintf("%d of %d workloads moved; restarting %s",
		report.Moved, report.Total, strings.Join(report.Restarting, ", ")), nil
}
