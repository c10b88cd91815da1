-- Reconciling and Stalled exist only while they are True, and never both. A member stays Ready while an upgrade changes it:
-- status.rollout has the stage. What keeps an old revision in the stages Retire and Discard takes nothing from the member.
local stages = {
  Preflight = true,
  Install = true,
  Gateways = true,
  Workloads = true,
  Soak = true,
  Rollback = true,
}
local states = {
  Progressing = "Progressing",
  Inconclusive = "Suspended",
  Failed = "Degraded",
}

local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready
local rollout = status.rollout or {}

if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not observed this generation yet"}
end
if conditions.Stalled ~= nil then
  return {status = "Degraded", message = ready.message}
end
if ready.status ~= "True" then
  return {status = "Progressing", message = ready.message}
end
-- A preflight that runs changes nothing.
local isLooking = rollout.stage == "Preflight" and rollout.state == "Progressing"
if stages[rollout.stage] and states[rollout.state] ~= nil and not isLooking then
  return {status = states[rollout.state], message = rollout.message}
end
return {status = "Healthy", message = ready.message}
