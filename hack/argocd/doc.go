// Command argocd writes the Lua scripts below config/argocd into ConfigMaps, for an Argo CD that does not contain them. The directories
// have the layout of resource_customizations in the repository of Argo CD: <group>/<kind>/health.lua, actions/discovery.lua and
// actions/<name>/action.lua.
package main
