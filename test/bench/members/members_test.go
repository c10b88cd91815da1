//go:build bench

package members

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const (
	meshName = "shop"
	// Of each phase.
	deadline = time.Hour
	// noise is how long members report changes, one each noisePace.
	noise, noisePace = 20 * time.Second, 200 * time.Millisecond
	configDir        = "../../../config"
)

// TestPlayedMembers takes a mesh through its life for each size. It sets no limit: a figure is a finding, not a verdict.
func TestPlayedMembers(t *testing.T) {
	sizes := "200"
	if s := os.Getenv("SIZES"); s != "" {
		sizes = s
	}
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		must(t, err)
		t.Run(size, func(t *testing.T) { measure(t, n) })
	}
}

// bench is a hub with its operator and player.
type bench struct {
	size     int
	client   client.Client
	api      rest.Interface
	player   *player
	operator *process
	rows     []string
}

func measure(t *testing.T, size int) {
	b := newBench(t, size)
	b.phase(t, "create the MeshMembers", func(ctx context.Context) error {
		if err := b.client.Create(ctx, b.installation()); err != nil {
			return err
		}
		return b.await(ctx, func(members []meshv1alpha1.MeshMember) string {
			whole := 0
			for i := range members {
				if len(members[i].Spec.Peers) == size-1 && len(members[i].Spec.PinnedRoot) > 0 {
					whole++
				}
			}
			return count("complete work orders", whole, size)
		})
	})
	b.phase(t, "all ready", func(ctx context.Context) error {
		if err := b.player.syncPeers(ctx); err != nil {
			return err
		}
		return b.awaitReady(ctx)
	})
	t.Log(b.objectSize(t))
	b.phase(t, fmt.Sprintf("%s of changing status, %.0f a second", noise, 1/noisePace.Seconds()), b.changeStatus)
	b.phase(t, "change every work order", func(ctx context.Context) error {
		if err := b.edit(ctx, func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.DataPlane.Tags = testutil.Tags("prod", "canary") }); err != nil {
			return err
		}
		if err := b.await(ctx, func(members []meshv1alpha1.MeshMember) string {
			changed := 0
			for i := range members {
				if len(members[i].Spec.Tags) == 2 && members[i].Status.ObservedGeneration == members[i].Generation {
					changed++
				}
			}
			return count("changed work orders", changed, size)
		}); err != nil {
			return err
		}
		return b.awaitReady(ctx)
	})
	b.phase(t, "remove all but two", func(ctx context.Context) error {
		if err := b.edit(ctx, func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Members = inst.Spec.Members[:2] }); err != nil {
			return err
		}
		return b.await(ctx, func(members []meshv1alpha1.MeshMember) string { return count("members", len(members), 2) })
	})
	t.Logf("%d members:\n%s\n%s", size, head, strings.Join(b.rows, "\n"))
}

func newBench(t *testing.T, size int) *bench {
	t.Helper()
	certManager, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager").Output()
	must(t, err)
	crds := filepath.Join(strings.TrimSpace(string(certManager)), "deploy", "crds")
	env := &envtest.Environment{
		Scheme: scheme, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute, ErrorIfCRDPathMissing: true,
		CRDDirectoryPaths: []string{
			filepath.Join(configDir, "crd", "bases"), filepath.Join(crds, "cert-manager.io_certificates.yaml"), filepath.Join(crds, "cert-manager.io_issuers.yaml"),
		},
	}
	env.ControlPlane.GetAPIServer().Configure().Append("max-requests-inflight", "2000").Append("max-mutating-requests-inflight", "1000")
	config, err := env.Start()
	must(t, err)
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Logf("stop the hub: %v", err)
		}
	})
	user, err := env.AddUser(envtest.User{Name: "operator", Groups: []string{"system:masters"}}, config)
	must(t, err)
	kubeconfig, err := user.KubeConfig()
	must(t, err)
	b := &bench{size: size}
	config = rest.CopyConfig(config)
	config.QPS = -1
	b.client, err = client.New(config, client.Options{Scheme: scheme})
	must(t, err)
	clients, err := kubernetes.NewForConfig(config)
	must(t, err)
	b.api = clients.RESTClient()
	must(t, b.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	must(t, b.client.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "played"}, Data: map[string][]byte{"value": []byte("played")},
	}))
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	b.player, err = play(ctx, config)
	must(t, err)
	b.operator = startOperator(t, kubeconfig)
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if c, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.operator.cmd.Process.Pid)); err == nil && len(c) > 0 && b.operator.answers() {
			return b
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("the operator has not started")
		}
	}
}

func (b *bench) installation() *meshv1alpha1.MeshInstallation {
	inst := &meshv1alpha1.MeshInstallation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: meshName}}
	inst.Spec.Version = "1.29.1"
	inst.Spec.DataPlane.Tags = testutil.Tags("prod")
	inst.Spec.DeletionPolicy = meshv1alpha1.DeletionPolicyOrphan
	for i := range b.size {
		inst.Spec.Members = append(inst.Spec.Members, meshv1alpha1.Member{
			Name: fmt.Sprintf("member-%04d", i), ClusterRef: meshv1alpha1.ClusterRef{KubeconfigSecret: &meshv1alpha1.SecretKeyRef{Name: "played", Key: "value"}},
		})
	}
	return inst
}

// profile lets the API server record what it does in the first seconds of a phase, into a file of the directory PROFILES.
func (b *bench) profile(ctx context.Context, t *testing.T, phase string) {
	dir := os.Getenv("PROFILES")
	if dir == "" {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		content, err := b.api.Get().AbsPath("/debug/pprof/profile").Param("seconds", "15").DoRaw(ctx)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d-%s.pprof", b.size, strings.ReplaceAll(phase, " ", "-"))), content, 0o600)
		}
		if err != nil {
			t.Logf("no profile of the API server: %v", err)
		}
	}()
	t.Cleanup(func() { <-done })
}

// phase measures one.
func (b *bench) phase(t *testing.T, name string, run func(context.Context) error) {
	t.Helper()
	b.operator.peak(t)
	before := b.operator.figures(t)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	b.profile(ctx, t, name)
	err := run(ctx)
	b.rows = append(b.rows, b.operator.row(t, name, before))
	t.Log(b.rows[len(b.rows)-1])
	must(t, err)
}

// await polls the player's cache, which costs the hub nothing.
func (b *bench) await(ctx context.Context, check func([]meshv1alpha1.MeshMember) string) error {
	for missing := "nothing seen"; ; {
		list := &meshv1alpha1.MeshMemberList{}
		if err := b.player.client.List(ctx, list, client.UnsafeDisableDeepCopy); err == nil {
			if missing = check(list.Items); missing == "" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", missing, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (b *bench) awaitReady(ctx context.Context) error {
	return b.await(ctx, func([]meshv1alpha1.MeshMember) string {
		inst := &meshv1alpha1.MeshInstallation{}
		if err := b.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: meshName}, inst); err != nil {
			return err.Error()
		}
		ready := meta.FindStatusCondition(inst.Status.Conditions, meshv1alpha1.ConditionReady)
		if ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == inst.Generation {
			return ""
		}
		return fmt.Sprintf("the mesh is not ready: %+v", ready)
	})
}

// changeStatus lets members lose and regain a condition, one after the other.
func (b *bench) changeStatus(ctx context.Context) error {
	for i := range int(noise / noisePace) {
		m := &meshv1alpha1.MeshMember{}
		key := client.ObjectKey{Namespace: namespace, Name: fmt.Sprintf("%s-member-%04d", meshName, i%b.size)}
		if err := b.player.client.Get(ctx, key, m); err != nil {
			return err
		}
		before := m.DeepCopy()
		m.Status.KubernetesVersion = fmt.Sprintf("v1.36.%d", i)
		if err := b.client.Status().Patch(ctx, m, client.MergeFrom(before)); err != nil {
			return err
		}
		time.Sleep(noisePace)
	}
	return nil
}

func (b *bench) edit(ctx context.Context, change func(*meshv1alpha1.MeshInstallation)) error {
	inst := &meshv1alpha1.MeshInstallation{}
	if err := b.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: meshName}, inst); err != nil {
		return err
	}
	before := inst.DeepCopy()
	change(inst)
	return b.client.Patch(ctx, inst, client.MergeFrom(before))
}

// objectSize says how large the object of one member is.
func (b *bench) objectSize(t *testing.T) string {
	t.Helper()
	m := &meshv1alpha1.MeshMember{}
	must(t, b.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: meshName + "-member-0001"}, m))
	size := func(v any) int {
		raw, err := json.Marshal(v)
		must(t, err)
		return len(raw) >> 10
	}
	return fmt.Sprintf("a MeshMember has %d KiB: spec %d, status %d, managedFields %d", size(m), size(m.Spec), size(m.Status), size(m.ManagedFields))
}

func count(what string, have, want int) string {
	if have == want {
		return ""
	}
	return fmt.Sprintf("%d %s, want %d", have, what, want)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
