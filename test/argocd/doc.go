// Package argocd runs the health checks and actions of config/argocd in the engine of Argo CD, as Argo CD reads them from its ConfigMap. It is a
// module of its own, because the engine has hundreds of dependencies. What can be checked without the engine is in test/gitops.
package argocd
