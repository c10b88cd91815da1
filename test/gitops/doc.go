// Package gitops checks what GitOps tools know of the operator: the recorded objects of config/argocd are what the operator writes, and the
// scripts there name only what the API has. The scripts themselves run in test/argocd, which has the engine of Argo CD.
package gitops
