// Package gate asks whether a revision of one member is good, with nothing but that member's connection: what Kubernetes
// says of its istiod and its proxies, what every istiod pod says of its peers, endpoints, proxies and rejections, and how
// its webhooks answer. What peers themselves have is told by a function, which may be slow, and silent for any of them.
//
// A gate says Pass, Fail, Inconclusive (there is not enough to tell) or Error (the question could not be asked). Missing
// data never passes. No gate changes anything in the member: admission is asked by sending reviews straight to istiod,
// over TLS and trusting what the API server trusts, so that neither permission to create pods nor a dry run through
// other webhooks is needed. That the API server reaches istiod too is what an armed webhook shows.
//
// A gate has no memory. What may be on its way (a push not acknowledged yet, a pod that has just started) is asked
// again within one question, and is Inconclusive rather than Fail while it is young.
package gate
