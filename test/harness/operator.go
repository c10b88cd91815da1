package harness

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	// operatorImage is the archive that `make image` writes.
	operatorImage = "bin/meshfleet.tar"
	// imageAnnotation on the Deployment records which build of the image runs, because the tag never changes.
	imageAnnotation = "meshfleet-suite/image-sha256"

	operatorDeadline = 3 * time.Minute
	webhookDeadline  = 2 * time.Minute
)

// InstallOperator loads the operator's image into the hub and applies config/default, as a user would, and returns
// when the operator runs and its admission webhook answers. On a hub that has the operator it upgrades it.
func (e *Env) InstallOperator(ctx context.Context) error {
	if err := e.LoadOperator(ctx); err != nil {
		return err
	}
	sum, err := fileSum(e.Path(operatorImage))
	if err != nil {
		return err
	}
	before, err := e.operatorDeployment(ctx)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err := e.kubectlQuiet(ctx, HubName, "apply", "--server-side", "-k", "config/default"); err != nil {
		return err
	}
	if before != nil && before.Annotations[imageAnnotation] != sum {
		if err := e.RestartOperator(ctx); err != nil {
			return err
		}
	}
	if err := e.recordImage(ctx, sum); err != nil {
		return err
	}
	return e.AwaitOperator(ctx)
}

// LoadOperator loads the operator's image into the hub, and installs nothing.
func (e *Env) LoadOperator(ctx context.Context) error {
	if err := e.requireFiles(operatorImage); err != nil {
		return err
	}
	return e.labctl(ctx, "load-image", "--clusters", HubName, operatorImage)
}

// versionPackage has the variables by which builds of the operator differ in tests.
const versionPackage = "github.com/meshfleet/meshfleet/internal/istio/version"

// ReplaceOperator builds an operator that differs, by variables of the package of Istio's releases, and lets it take the place of the one
// that runs. Without variables it is the operator as it is released.
func (e *Env) ReplaceOperator(ctx context.Context, variables map[string]string) error {
	dir := filepath.Join("bin", "other")
	var flags []string
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		flags = append(flags, "-X "+versionPackage+"."+name+"="+variables[name])
	}
	if err := e.run(ctx, "", "make", "image", "IMAGEDIR="+dir, "LDFLAGS="+strings.Join(flags, " ")); err != nil {
		return err
	}
	if err := e.labctl(ctx, "load-image", "--clusters", HubName, filepath.Join(dir, filepath.Base(operatorImage))); err != nil {
		return err
	}
	if err := e.RestartOperator(ctx); err != nil {
		return err
	}
	sum, err := fileSum(e.Path(dir, filepath.Base(operatorImage)))
	if err != nil {
		return err
	}
	if err := e.recordImage(ctx, sum); err != nil {
		return err
	}
	return e.AwaitOperator(ctx)
}

// AwaitOperator waits until the operator runs and its admission webhook answers.
func (e *Env) AwaitOperator(ctx context.Context) error {
	if err := e.awaitOperator(ctx); err != nil {
		return err
	}
	return e.awaitWebhook(ctx)
}

// RestartOperator replaces the operator's process and returns when the new one runs and its admission webhook answers.
func (e *Env) RestartOperator(ctx context.Context) error {
	err := e.kubectlQuiet(ctx, HubName, "-n", OperatorNamespace, "rollout", "restart", "deployment/"+OperatorDeployment)
	if err != nil {
		return err
	}
	return e.AwaitOperator(ctx)
}

// KillOperator ends the operator's processes at once, as a power failure would, and makes room for a new one: the pods are
// deleted, because kubelet would wait longer each time before it starts them again, and so is the lease that the dead
// cannot give back. It does not wait for the new process.
func (e *Env) KillOperator(ctx context.Context) error {
	if e.IsAttached() {
		return errors.New("kill the operator: its processes are on another machine")
	}
	d, err := e.operatorDeployment(ctx)
	if err != nil {
		return err
	}
	pods, err := e.Hub.podsOf(ctx, d)
	if err != nil {
		return err
	}
	for i := range pods {
		if err := killProcesses("pod" + string(pods[i].UID)); err != nil {
			return err
		}
		if err := e.Hub.Client.Delete(ctx, &pods[i], client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete the pod of the killed operator: %w", err)
		}
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: OperatorNamespace, Name: leaderElectionID}}
	if err := e.Hub.Client.Delete(ctx, lease); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete the lease of the killed operator: %w", err)
	}
	return nil
}

// killProcesses kills what runs in control groups whose path has a part of the name. A lab's nodes are processes of this
// machine, and so are their pods.
func killProcesses(group string) error {
	paths, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return fmt.Errorf("look for processes: %w", err)
	}
	for _, path := range paths {
		groups, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(groups), "/"+group+"/") {
			continue // it has ended, or is another's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	return nil
}

// operatorDeployment returns the operator's Deployment, or a not-found error.
func (e *Env) operatorDeployment(ctx context.Context) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{}
	key := types.NamespacedName{Namespace: OperatorNamespace, Name: OperatorDeployment}
	if err := e.Hub.Client.Get(ctx, key, d); err != nil {
		return nil, fmt.Errorf("get the operator's Deployment: %w", err)
	}
	return d, nil
}

func (e *Env) recordImage(ctx context.Context, sum string) error {
	d, err := e.operatorDeployment(ctx)
	if err != nil {
		return err
	}
	patch := client.MergeFrom(d.DeepCopy())
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[imageAnnotation] = sum
	if err := e.Hub.Client.Patch(ctx, d, patch); err != nil {
		return fmt.Errorf("record the operator's image: %w", err)
	}
	return nil
}

func (e *Env) awaitOperator(ctx context.Context) error {
	return Await(ctx, "the operator to run on the hub", operatorDeadline, func(ctx context.Context) (bool, string, error) {
		d, err := e.operatorDeployment(ctx)
		if err != nil {
			return false, "", err
		}
		done, seen := rolledOut(d)
		if !done {
			seen += "; " + e.Hub.podStates(ctx, OperatorNamespace)
		}
		return done, seen, nil
	})
}

// rolledOut tells whether all replicas are of the newest template and available, and none of an older one is left.
func rolledOut(d *appsv1.Deployment) (bool, string) {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	s := d.Status
	done := s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.Replicas == want &&
		s.AvailableReplicas == want
	return done, fmt.Sprintf("%d of %d replicas updated, %d available, %d in all",
		s.UpdatedReplicas, want, s.AvailableReplicas, s.Replicas)
}

// awaitWebhook waits until admission answers, so that the first apply of a user does not hit a webhook whose
// certificate cert-manager has not injected yet. Any verdict on the object will do.
func (e *Env) awaitWebhook(ctx context.Context) error {
	probe := &meshv1alpha1.MeshInstallation{}
	probe.Namespace, probe.Name = OperatorNamespace, "webhook-probe"
	probe.Spec.Version = NewestIstio
	probe.Spec.Members = []meshv1alpha1.Member{{
		Name: "probe",
		ClusterRef: meshv1alpha1.ClusterRef{
			KubeconfigSecret: &meshv1alpha1.SecretKeyRef{Name: "webhook-probe"},
		},
	}}
	return Await(ctx, "the operator's admission webhook to answer", webhookDeadline,
		func(ctx context.Context) (bool, string, error) {
			err := e.Hub.Client.Create(ctx, probe.DeepCopy(), client.DryRunAll)
			if err == nil || isRefusal(err) {
				return true, "", nil
			}
			return false, "", err
		})
}

// podStates describes the pods of a namespace that are not ready, for the message of a wait.
func (c *Cluster) podStates(ctx context.Context, namespace string) string {
	pods := &corev1.PodList{}
	if err := c.Client.List(ctx, pods, client.InNamespace(namespace)); err != nil {
		return "pods: " + err.Error()
	}
	out := ""
	for _, p := range pods.Items {
		if isPodReady(&p) {
			continue
		}
		out += fmt.Sprintf(" pod %s %s%s", p.Name, p.Status.Phase, waitingReasons(&p))
	}
	if out == "" {
		return "all pods are ready"
	}
	return "not ready:" + out
}

func isPodReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func waitingReasons(p *corev1.Pod) string {
	out := ""
	for _, s := range append(append([]corev1.ContainerStatus(nil), p.Status.InitContainerStatuses...),
		p.Status.ContainerStatuses...) {
		if s.State.Waiting != nil {
			out += fmt.Sprintf(" (%s: %s %s)", s.Name, s.State.Waiting.Reason, s.State.Waiting.Message)
		}
	}
	return out
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
