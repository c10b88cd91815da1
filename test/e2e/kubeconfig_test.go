//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

// brokenKubeconfig breaks the credential of west in several ways. Each gives west a condition that says so, leaves
// east ready and the traffic as it was, and is over when the credential is mended.
func (s *suite) brokenKubeconfig(t *testing.T) {
	good, err := s.env.MemberKubeconfig(t.Context(), "west")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name       string
		kubeconfig string
		wantReason string
	}{
		{"malformed", "this is not a kubeconfig", meshv1alpha1.ReasonKubeconfigInvalid},
		{"refused credential", spoilToken(good), meshv1alpha1.ReasonUnauthorized},
		{"unreachable server", strings.Replace(good, serverOf(good), nobody, 1), meshv1alpha1.ReasonConnectionDown},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			defer func() {
				if err := s.env.WriteKubeconfigSecret(context.WithoutCancel(ctx), "west", good); err != nil {
					t.Error(err)
				}
			}()
			s.step(t, "break the credential of west: "+c.name, func() error {
				return s.env.WriteKubeconfigSecret(ctx, "west", c.kubeconfig)
			})
			s.step(t, "west says "+c.wantReason, func() error { return s.awaitReason(ctx, "west", c.wantReason) })
			s.step(t, "east stays ready", func() error { return s.staysReady(ctx, "east", 5*time.Second) })
			s.step(t, "traffic goes on", func() error { return traffic.AcrossClusters(ctx, s.env) })
			s.step(t, "mend the credential", func() error { return s.env.WriteKubeconfigSecret(ctx, "west", good) })
			s.step(t, "the mesh is ready again", func() error { return s.waitReady(ctx) })
		})
	}
}

// cutOff takes west off the network. It says so, east stays ready and serves at home, and when the link is back
// everything is as before without anybody's doing.
func (s *suite) cutOff(t *testing.T) {
	ctx := t.Context()
	defer func() {
		if err := s.env.Link(context.WithoutCancel(ctx), "west", true); err != nil {
			t.Error(err)
		}
	}()
	s.step(t, "cut west off", func() error { return s.env.Link(ctx, "west", false) })
	s.step(t, "west says "+meshv1alpha1.ReasonConnectionDown, func() error {
		return s.awaitReason(ctx, "west", meshv1alpha1.ReasonConnectionDown)
	})
	s.step(t, "east stays ready", func() error { return s.staysReady(ctx, "east", 5*time.Second) })
	s.step(t, "east serves at home", func() error {
		answer, err := s.env.Client("east").Get(ctx, harness.EchoInURL("east", "/"))
		if err == nil && !answer.OK() {
			err = fmt.Errorf("request in east: %s", answer)
		}
		return err
	})
	s.step(t, "join west again", func() error { return s.env.Link(ctx, "west", true) })
	s.step(t, "the mesh is ready again", func() error { return s.waitReady(ctx) })
	s.step(t, "traffic crosses again", func() error { return traffic.AcrossClusters(ctx, s.env) })
}

// awaitReason waits until Reachable is not True for the wanted reason, and Ready is not True either. Of a member that
// does not answer nothing is known, so that False would be a claim.
func (s *suite) awaitReason(ctx context.Context, member, reason string) error {
	isWanted := func(c metav1.Condition) bool {
		if reason == meshv1alpha1.ReasonConnectionDown {
			return c.Status == metav1.ConditionUnknown
		}
		return c.Status != metav1.ConditionTrue
	}
	_, err := s.env.WaitCondition(ctx, member, meshv1alpha1.ConditionReachable,
		func(c metav1.Condition) bool { return isWanted(c) && c.Reason == reason }, 2*time.Minute)
	if err != nil {
		return err
	}
	_, err = s.env.WaitCondition(ctx, member, meshv1alpha1.ConditionReady, isWanted, time.Minute)
	return err
}

// staysReady watches a member for a while and wants Ready=True all the time.
func (s *suite) staysReady(ctx context.Context, member string, period time.Duration) error {
	for end := time.Now().Add(period); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		m, err := s.env.MeshMember(ctx, member)
		if err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReady) {
			return fmt.Errorf("member %q is not ready: %v", member,
				meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionReady))
		}
	}
	return nil
}

// nobody is an address in the lab's network that no cluster has.
const nobody = "https://172.30.0.254:6443"

// serverOf returns the API server's URL in a kubeconfig.
func serverOf(kubeconfig string) string {
	_, rest, _ := strings.Cut(kubeconfig, "server: ")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Trim(line, `"`)
}

// spoilToken makes a token that no API server has signed.
func spoilToken(kubeconfig string) string {
	lines := strings.Split(kubeconfig, "\n")
	for i, line := range lines {
		if key, token, found := strings.Cut(line, "token: "); found {
			token = strings.Trim(token, `"`)
			lines[i] = key + "token: " + token[:len(token)-8] + "AAAAAAAA"
		}
	}
	return strings.Join(lines, "\n")
}
