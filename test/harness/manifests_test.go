package harness

import "testing"

func TestManifestsRender(t *testing.T) {
	values := workloadValues{
		Cluster: "east", Version: "v1", Members: []string{"east", "west", "south"}, Clients: []string{clientLoad, clientGuest},
	}
	for name, want := range map[string]struct {
		manifest string
		objects  int
	}{
		// Namespace, echo's account, Deployment and Service, a Service per member, two clients of two objects, a DestinationRule.
		"demo":   {demoManifest, 4 + 3 + 4 + 1},
		"plain":  {plainManifest, 3},
		"strict": {strictManifest, 1},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := Render(want.manifest, values)
			if err != nil {
				t.Fatal(err)
			}
			objects, err := decode(text)
			if err != nil {
				t.Fatal(err)
			}
			if len(objects) != want.objects {
				t.Errorf("want %d objects, got %d", want.objects, len(objects))
			}
		})
	}
}
