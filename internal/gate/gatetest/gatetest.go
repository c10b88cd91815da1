// Package gatetest has what the tests of gates share.
package gatetest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
)

// Now is the time of the tests.
var Now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Subject is the member east, which goes from 1-28-3 to 1-29-1 and has the peer west.
func Subject() *gate.Subject {
	return &gate.Subject{Namespace: "istio-system", Installation: "meshes.shop", Cluster: "east", Peers: []string{"west"},
		From: "1-28-3", To: "1-29-1", FromVersion: "1.28.3", ToVersion: "1.29.1", Tags: []string{"default", "prod"}, Looks: &gate.Looks{}, Now: Now}
}

// Check wants an answer with a verdict, and these words in its message.
func Check(t *testing.T, got gate.Answer, verdict meshv1alpha1.Verdict, words string) {
	t.Helper()
	if got.Verdict != verdict || !strings.Contains(got.Message, words) {
		t.Errorf("%s: %s, want %s with %q", got.Verdict, got.Message, verdict, words)
	}
}

// Decode reads the answers of istiod pods, by name of the pod.
func Decode[T any](t *testing.T, text string) map[string]T {
	t.Helper()
	out := map[string]T{}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}
