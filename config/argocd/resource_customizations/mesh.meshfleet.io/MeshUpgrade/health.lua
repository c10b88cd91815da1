-- Reconciling and Stalled exist only while they are True, and never both. An upgrade that is Stalled with one of these reasons goes on
-- when a person acts, or when the cause in the message is removed. With any other reason it is over, or does not start.
local waits = {
  GatesInconclusive = true,
  MembersFailed = true,
  MembersNotReporting = true,
  PreflightBlocked = true,
  UpgradePaused = true,
  UpgradePlanned = true,
  WaitingForApproval = true,
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
-- An upgrade that another one replaced needs nothing any more.
if ready.status == "True" or ready.reason == "UpgradeSuperseded" then
  return {status = "Healthy", message = ready.message}
end
if ready.reason == "WaitingForWindow" or (conditions.Stalled ~= nil and waits[ready.reason]) then
  return {status = "Suspended", message = ready.message}
end
if conditions.Stalled ~= nil then
  return {status = "Degraded", message = ready.message}
end
return {status = "Progressing", message = ready.message}
