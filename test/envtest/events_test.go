package envtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// events are the operator's, as `<kind> <name>: <reason>`, each once.
func (s *suite) events(ctx context.Context) (reasons []string, notes string, err error) {
	list := &eventsv1.EventList{}
	if err := s.hub.admin.List(ctx, list, client.InNamespace(operatorNamespace)); err != nil {
		return nil, "", err
	}
	for i := range list.Items {
		e := &list.Items[i]
		reasons = append(reasons, fmt.Sprintf("%s %s: %s", e.Regarding.Kind, e.Regarding.Name, e.Reason))
		notes += e.Note + "\n"
	}
	slices.Sort(reasons)
	return slices.Compact(reasons), notes, nil
}

// transitions are told by events, once each.
func (s *suite) transitions(t *testing.T) {
	want := []string{
		"MeshInstallation " + meshName + ": BecameReady",
		"MeshInstallation " + meshName + ": VersionInForce",
	}
	for _, name := range both {
		for _, reason := range []string{"BecameReachable", "BecameReady", "GatewayAnnounced"} {
			want = append(want, fmt.Sprintf("MeshMember %s-%s: %s", meshName, name, reason))
		}
	}
	await(t, "the events of the installation", func(ctx context.Context) error {
		got, _, err := s.events(ctx)
		for _, w := range want {
			if !slices.Contains(got, w) {
				err = errors.Join(err, fmt.Errorf("no event %q among %q", w, got))
			}
		}
		return err
	})
}

// secrets looks back at the whole story: neither log nor events tell a credential or a key.
func (s *suite) secrets(t *testing.T) {
	_, notes, err := s.events(t.Context())
	must(t, err)
	texts := map[string]string{"log": s.log.String(), "events": notes}
	for where, text := range texts {
		if text == "" {
			t.Errorf("%s: empty, which proves nothing", where)
		}
		for _, c := range s.clusters() {
			if strings.Contains(text, c.token) {
				t.Errorf("%s: has the token for %s", where, c.name)
			}
		}
		// Every JSON web token starts so.
		for _, word := range []string{"PRIVATE KEY", "eyJhbGciOi"} {
			if strings.Contains(text, word) {
				t.Errorf("%s: has %q", where, word)
			}
		}
	}
}
