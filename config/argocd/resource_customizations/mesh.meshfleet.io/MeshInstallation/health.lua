-- Reconciling and Stalled exist only while they are True, and never both. A mesh that waits for a person, or for its maintenance
-- window, is Reconciling with one of these reasons.
local waits = {
  UpgradePaused = true,
  UpgradePlanned = true,
  WaitingForApproval = true,
  WaitingForWindow = true,
}

local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready

if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not observed this generation yet"}
end
if conditions.Stalled ~= nil then
  return {status = "Degraded", message = ready.message}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if waits[ready.reason] then
  return {status = "Suspended", message = ready.message}
end
return {status = "Progressing", message = ready.message}
