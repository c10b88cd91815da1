package argocd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// apiTimeout bounds a call of Argo CD's API.
const apiTimeout = 30 * time.Second

// Action is what runs an action on an object of an Application.
type Action struct {
	Application string `json:"name"`
	Namespace   string `json:"namespace"`
	Name        string `json:"resourceName"`
	Group       string `json:"group"`
	Version     string `json:"version"`
	Kind        string `json:"kind"`
	Action      string `json:"action"`
}

// Run lets Argo CD's API server run an action, as its web interface does.
func (a *ArgoCD) Run(ctx context.Context, action Action) error {
	return a.call(ctx, http.MethodPost, "/applications/"+action.Application+"/resource/actions/v2", action)
}

// Terminate ends the operation of an Application.
func (a *ArgoCD) Terminate(ctx context.Context, name string) error {
	return a.call(ctx, http.MethodDelete, "/applications/"+name+"/operation", nil)
}

// approvedAnnotation of an Application confirms the deletions for which its operation waits, if its time is not before the operation began.
const approvedAnnotation = "argocd.argoproj.io/deletion-approved"

// ConfirmDeletion confirms the deletions for which an Application waits, as `argocd app confirm-deletion` does.
func (a *ArgoCD) ConfirmDeletion(ctx context.Context, name string) error {
	return a.Kubectl(ctx, "-n", Namespace, "annotate", "application", name, "--overwrite",
		approvedAnnotation+"="+time.Now().UTC().Format(time.RFC3339))
}

func (a *ArgoCD) call(ctx context.Context, method, path string, body any) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	content, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("call Argo CD: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1:"+a.ports[server]+"/api/v1"+path, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("call Argo CD: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("call Argo CD: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the answer of Argo CD: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s at Argo CD: %s: %s", method, path, response.Status, answer)
	}
	return nil
}
