// Package argocd runs Argo CD against the hub of the lab. Its controllers and servers are processes of this machine and not pods: the
// lab has no image of them. Each has the permissions of its ServiceAccount in Argo CD's own manifests, by a token.
//
// The Git repository is a directory of this machine, too. It has the files of config/samples/gitops, with the addresses and values of
// the lab.
package argocd
