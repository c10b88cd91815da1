package trust

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// published is the root as istiod hands it out in the control plane's namespace.
func published(root *authority) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: rootConfigMap, Namespace: testutil.ControlPlane},
		Data:       map[string]string{"root-cert.pem": string(text(root))},
	}
}

// TestCacerts covers what ends without a write. The member has a certificate of the mesh's root, or gets none.
func TestCacerts(t *testing.T) {
	root, other := issue(t, "root", ecdsaKey(t), nil), issue(t, "root", ecdsaKey(t), nil)
	pinned, theirs := []string{fingerprint(root.cert)}, []string{fingerprint(other.cert)}
	present := inMember(map[string][]byte{"root-cert.pem": text(root)}, installation)
	foreign := inMember(map[string][]byte{"root-cert.pem": text(other)}, "")
	lost := testutil.Installation()
	lost.Status.Conditions = []metav1.Condition{{
		Type: meshv1alpha1.ConditionTrustRootReady, Status: metav1.ConditionFalse, Reason: meshv1alpha1.ReasonRootMissing, Message: "restore it",
	}}
	unusable := lost.DeepCopy()
	unusable.Status.Conditions[0].Reason, unusable.Status.Conditions[0].Message = meshv1alpha1.ReasonRootUnusable, "use another"
	leavesOnly := issue(t, "root", ecdsaKey(t), nil, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	of := func(o ...client.Object) []client.Object { return o }
	cases := map[string]struct {
		pinned          []string
		served          []string
		recovered       bool
		hub, remote     []client.Object
		wantKind        phase.Kind
		wantReason      string
		wantCertificate bool
		wantText        string
	}{
		"no root is known yet":                             {wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonWaitingForCertificate},
		"a member of a former release keeps its own":       {remote: of(present), wantKind: phase.Done, wantReason: meshv1alpha1.ReasonReady, wantCertificate: true},
		"what others made is not kept":                     {remote: of(foreign), wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonWaitingForCertificate},
		"a new member waits for what the hub has lost":     {pinned: pinned, hub: of(lost), wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonRootMissing, wantText: "restore it"},
		"one that has a certificate goes on meanwhile":     {pinned: pinned, hub: of(lost), remote: of(present), wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonRootMissing, wantCertificate: true},
		"a new member waits for a root that can be used":   {hub: of(unusable), wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonRootUnusable, wantText: "use another"},
		"a root that signs no intermediates is refused":    {pinned: []string{fingerprint(leavesOnly.cert)}, hub: of(signedIn(t, "east", leavesOnly)), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonRootUnusable, wantText: "path length 0"},
		"another root is not given to a new member":        {pinned: pinned, hub: of(signedIn(t, "east", other)), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonRootChanged, wantText: "shop-east-ca"},
		"nor to one that has a certificate":                {pinned: pinned, hub: of(signedIn(t, "east", other)), remote: of(present), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonRootChanged, wantCertificate: true},
		"a root of others is not replaced":                 {pinned: pinned, hub: of(signedIn(t, "east", root)), remote: of(foreign), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot, wantText: "if nothing in the cluster uses it"},
		"a root that serves is not to be deleted":          {pinned: pinned, served: theirs, remote: of(foreign), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot, wantText: "do not delete"},
		"nor is it replaced when its Secret is gone":       {pinned: pinned, served: theirs, hub: of(signedIn(t, "east", root)), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot, wantText: "is gone"},
		"nor when only istiod still knows it":              {pinned: pinned, recovered: true, hub: of(signedIn(t, "east", root)), remote: of(published(other)), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot, wantText: "is gone"},
		"what a removed istiod left behind is no root":     {pinned: pinned, hub: of(lost), remote: of(published(other)), wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonRootMissing, wantText: "restore it"},
		"the mesh's root that istiod knows is no obstacle": {pinned: pinned, recovered: true, hub: of(lost), remote: of(published(root)), wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonRootMissing, wantText: "restore it"},
		"a member that was recovered is not to lose it":    {pinned: pinned, recovered: true, remote: of(foreign), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot, wantText: "do not delete"},
		"unreadable where nothing serves":                  {pinned: pinned, remote: of(inMember(nil, installation)), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot, wantText: "delete that Secret if nothing"},
		"unreadable where the mesh's root serves":          {pinned: pinned, served: pinned, remote: of(inMember(nil, installation)), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot, wantText: "writes it again with the same root"},
		"unreadable where another root serves":             {pinned: pinned, served: theirs, remote: of(inMember(nil, "")), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot, wantText: "do not delete it"},
		"a root that cannot be read is a foreign one":      {pinned: pinned, remote: of(inMember(map[string][]byte{"root-cert.pem": []byte("text")}, "")), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot},
		"so is an empty Secret":                            {pinned: pinned, remote: of(inMember(nil, "")), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot},
		"the root beside another is another":               {pinned: pinned, remote: of(inMember(map[string][]byte{"ca.crt": text(root, other)}, "")), wantKind: phase.Stalled, wantReason: meshv1alpha1.ReasonForeignRoot},
		"the mesh's root in the other layout is the right": {pinned: pinned, hub: of(lost), remote: of(inMember(map[string][]byte{"ca.crt": text(root)}, "")), wantKind: phase.Wait, wantReason: meshv1alpha1.ReasonRootMissing, wantCertificate: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var hub, remote []client.Object
			for _, o := range c.hub {
				hub = append(hub, o.DeepCopyObject().(client.Object))
			}
			for _, o := range c.remote {
				remote = append(remote, o.DeepCopyObject().(client.Object))
			}
			pass := membertest.Pass(t, testutil.Member("east"), remote...)
			pass.Hub = testutil.HubClient(t, hub...)
			pass.Object.Spec.PinnedRoot, pass.Object.Status.Trust.RootFingerprints = c.pinned, c.served
			if c.recovered {
				pass.Object.Status.Recovered = &meshv1alpha1.OrderInForce{}
			}
			got := cacerts(t.Context(), pass)
			if got.Kind != c.wantKind || got.Reason != c.wantReason || !strings.Contains(got.Text(), c.wantText) {
				t.Errorf("result is %s %s: %s; want %s %s with %q", got.Kind, got.Reason, got.Text(), c.wantKind, c.wantReason, c.wantText)
			}
			if hasCertificate := got.Kind == phase.Done || got.Passable; hasCertificate != c.wantCertificate {
				t.Errorf("it has a certificate, so that the pass goes on: %v, want %v", hasCertificate, c.wantCertificate)
			}
		})
	}
}

// TestCacertsAfterAWrite wants the pass to end where a write has failed: what the member has may not be intact.
func TestCacertsAfterAWrite(t *testing.T) {
	root := issue(t, "root", ecdsaKey(t), nil)
	for name, c := range map[string]struct {
		refused  error
		wantKind phase.Kind
	}{
		"it is written":     {nil, phase.Done},
		"the write is lost": {errors.New("no route"), phase.Retry},
	} {
		t.Run(name, func(t *testing.T) {
			present := inMember(map[string][]byte{"root-cert.pem": text(root)}, installation)
			remote := fake.NewClientBuilder().WithObjects(present).WithInterceptorFuncs(interceptor.Funcs{
				Patch: func(ctx context.Context, to client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
					if c.refused != nil {
						return c.refused
					}
					return to.Patch(ctx, o, patch, opts...)
				},
			}).Build()
			pass := membertest.Over(t, testutil.Member("east"), remote)
			pass.Hub = testutil.HubClient(t, signedIn(t, "east", root))
			pass.Object.Spec.PinnedRoot = []string{fingerprint(root.cert)}
			if got := cacerts(t.Context(), pass); got.Kind != c.wantKind || got.Passable != (c.refused == nil) {
				t.Errorf("result %+v, want kind %s", got, c.wantKind)
			}
		})
	}
}

// TestRootThatIsNotPublished wants the message to name discoverySelectors that leave out the control plane's namespace.
func TestRootThatIsNotPublished(t *testing.T) {
	root, other := issue(t, "root", ecdsaKey(t), nil), issue(t, "root", ecdsaKey(t), nil)
	cacerts := inMember(map[string][]byte{"root-cert.pem": text(root)}, installation)
	cacerts.CreationTimestamp = metav1.NewTime(testutil.Now)
	published := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: testutil.ControlPlane, Name: rootConfigMap}, Data: map[string]string{"root-cert.pem": string(text(other))},
	}
	namespace := func(labels map[string]string) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testutil.ControlPlane, Labels: labels}}
	}
	selecting := testutil.JSON(map[string]any{"meshConfig": map[string]any{"discoverySelectors": []any{
		map[string]any{"matchLabels": map[string]any{"mesh": "on"}},
	}}})
	cases := map[string]struct {
		values   *apiextensionsv1.JSON
		remote   []client.Object
		wantKind phase.Kind
		wantText string
	}{
		"no selectors":                     {nil, nil, phase.Wait, "istiod has not published its root yet"},
		"selectors that leave it out":      {selecting, []client.Object{namespace(nil)}, phase.Wait, "do not select namespace istio-system, so istiod publishes no root there; add a selector with matchLabels kubernetes.io/metadata.name: istio-system"},
		"selectors that select it":         {selecting, []client.Object{namespace(map[string]string{"mesh": "on"})}, phase.Wait, "istiod has not published its root yet"},
		"a root of before":                 {selecting, []client.Object{namespace(nil), published}, phase.Wait, "do not select namespace"},
		"a root of before, without":        {nil, []client.Object{published}, phase.Wait, "istiod hands out root"},
		"a namespace that cannot be read":  {selecting, nil, phase.Retry, "read namespace"},
		"selectors that are no selectors":  {testutil.JSON(map[string]any{"meshConfig": map[string]any{"discoverySelectors": "x"}}), nil, phase.Retry, "list of label selectors"},
		"values of which nothing is known": {testutil.JSON("text"), nil, phase.Retry, "must be a map"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			remote := []client.Object{cacerts.DeepCopy()}
			for _, o := range c.remote {
				remote = append(remote, o.DeepCopyObject().(client.Object))
			}
			pass := membertest.Pass(t, testutil.Member("east"), remote...)
			pass.Object.Spec.Revisions[0].Values = c.values
			got := rootInForce(t.Context(), pass, cacerts)
			if got.Kind != c.wantKind || !strings.Contains(got.Text(), c.wantText) {
				t.Errorf("result is %s %s: %s; want %s with %q", got.Kind, got.Reason, got.Text(), c.wantKind, c.wantText)
			}
		})
	}
}
